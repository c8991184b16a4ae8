#include "engine/kernels/cpu/cpu.h"

#include "engine/kernels/cpu/instruction_set.h"
#include "engine/kernels/cpu/table.h"

namespace pkv::kernels::cpu {
namespace {

std::unique_ptr<Device> open(int threads) {
  return std::make_unique<host::Host>("cpu (" + instruction_set() + ")", threads);
}

}  // namespace

const Ops& ops() {
  static const Ops table{.name = "cpu",
                         .places_outputs = true,
                         .rounds_as_ggml = true,
                         .open = open,
                         .memory = host::kMemory,
                         .linear_scratch = host::linear_scratch,
                         .embed = embed,
                         .norm = norm,
                         .linear = linear,
                         .angles = angles,
                         .rotate = rotate,
                         .append = append,
                         .attend = attend,
                         .convolve = convolve,
                         .recur = recur,
                         .gate = gate,
                         .scale = scale,
                         .add = add,
                         .route = route,
                         .expert_linear = expert_linear,
                         .mix = mix,
                         .pick = pick,
                         .convert = convert,
                         .encode = encode,
                         .decode = decode};
  return table;
}

}  // namespace pkv::kernels::cpu
