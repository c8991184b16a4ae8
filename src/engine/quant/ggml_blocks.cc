#include "engine/quant/ggml_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/quant/encodings.h"

namespace pkv::quant {
namespace {

using ggml::Byte;

template <class Block>
void fill(const Block& block, float* out) {
  for (int n = 0; n < Block::kWeights; ++n) out[n] = block(n);
}

}  // namespace

const std::array<float, 16> kIq4Values{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const std::array<float, 16> kMxfp4Values{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decode_q4_0(const Byte* p, float* out) { fill(ggml::Q4_0{p}, out); }
void decode_q4_1(const Byte* p, float* out) { fill(ggml::Q4_1{p}, out); }
void decode_q5_0(const Byte* p, float* out) { fill(ggml::Q5_0{p}, out); }
void decode_q5_1(const Byte* p, float* out) { fill(ggml::Q5_1{p}, out); }
void decode_q8_0(const Byte* p, float* out) { fill(ggml::Q8_0{p}, out); }
void decode_q2_k(const Byte* p, float* out) { fill(ggml::Q2_K{p}, out); }
void decode_q3_k(const Byte* p, float* out) { fill(ggml::Q3_K{p}, out); }
void decode_q4_k(const Byte* p, float* out) { fill(ggml::Q4_K{{p}}, out); }
void decode_q5_k(const Byte* p, float* out) { fill(ggml::Q5_K{{p}}, out); }
void decode_q6_k(const Byte* p, float* out) { fill(ggml::Q6_K{p}, out); }
void decode_iq4_nl(const Byte* p, float* out) { fill(ggml::Iq4Nl{p}, out); }
void decode_iq4_xs(const Byte* p, float* out) { fill(ggml::Iq4Xs{p}, out); }
void decode_mxfp4(const Byte* p, float* out) { fill(ggml::Mxfp4{p}, out); }
void decode_nvfp4(const Byte* p, float* out) { fill(ggml::Nvfp4{p}, out); }
void decode_tq1_0(const Byte* p, float* out) { fill(ggml::Tq1_0{p}, out); }
void decode_tq2_0(const Byte* p, float* out) { fill(ggml::Tq2_0{p}, out); }

// Of the first block and the last one a part may be asked for.
void decode_blocks(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  const Traits& t = m.traits();
  std::array<float, kMostInBlock> values;
  std::int64_t at = row * m.in + first;
  for (std::size_t done = 0; done < out.size();) {
    const std::int64_t from = at % t.codes.weights;
    const std::size_t n = std::min(out.size() - done, static_cast<std::size_t>(t.codes.weights - from));
    t.decode_block(m.codes.as<const Byte>() + at / t.codes.weights * t.codes.bytes, values.data());
    std::copy_n(values.begin() + from, n, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
    at += static_cast<std::int64_t>(n);
  }
}

// NaN and infinity make NaN of what shares their scale.
void round_as_ggml(Format weights, std::span<const float> x, std::span<float> out) {
  const bool wide = traits(weights).codes.weights == 256;
  const std::size_t block = wide ? 256 : 32;
  for (std::size_t k = 0; k < x.size(); k += block) {
    float most = 0;
    bool finite = true;
    for (std::size_t i = k; i < k + block; ++i) {
      most = std::max(most, std::fabs(x[i]));
      finite &= std::isfinite(x[i]);
    }
    const float factor = !finite ? std::numeric_limits<float>::quiet_NaN() : most > 0 ? 127 / most : 0;
    const float scale = !wide ? to_float(to_f16(most / 127)) : most > 0 ? 1 / factor : 0;
    for (std::size_t i = k; i < k + block; ++i) out[i] = scale * std::nearbyint(x[i] * factor);
  }
}

}  // namespace pkv::quant
