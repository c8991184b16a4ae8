#include "bench/ops.h"

#include <fmt/format.h>

#include <vector>

#include "base/random.h"
#include "bench/clock.h"
#include "bench/options.h"
#include "engine/tensor/half.h"

namespace pkv::bench {

OpOptions read_op_options(std::string_view usage, int argc, char** argv, double seconds) {
  const Options given(usage, argc, argv);
  const std::string_view clock = given.text("--clock").value_or("wall");
  if (clock != "cpu" && clock != "wall") given.refuse(fmt::format("--clock is cpu or wall, not '{}'", clock));
  cpu_clock = clock == "cpu";
  given.choose_instruction_set();
  return {.json = given.json(),
          .only = std::string(given.text("--only").value_or("")),
          .seconds = given.seconds("--seconds", seconds),
          .threads = given.threads()};
}

Buffer random_buffer(DType dtype, std::initializer_list<std::int64_t> shape, std::uint64_t seed) {
  std::vector<float> cycle(8191);
  for (std::size_t i = 0; i < cycle.size(); ++i) cycle[i] = random_signed(seed, i);
  Buffer b(dtype, shape);
  const auto n = static_cast<std::size_t>(b.view().elements());
  for (std::size_t i = 0; i < n; ++i) {
    const float x = cycle[i % cycle.size()];
    if (dtype == DType::f16) b.span<f16>()[i] = to_f16(x);
    if (dtype == DType::bf16) b.span<bf16>()[i] = to_bf16(x);
    if (dtype == DType::f32) b.span<float>()[i] = x;
  }
  return b;
}

}  // namespace pkv::bench
