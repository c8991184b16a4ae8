// The instruction sets that the cpu table is compiled for: the compiler's baseline, SSE4, AVX2 and AVX3 (AVX-512 F, BW,
// DQ, VL) on x86, NEON on Arm. Included before any header of Highway. Sets without a fixed vector length (SVE, RVV) are
// left out: the kernels keep vectors in arrays.
#pragma once

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_WASM_EMU256)
