#include "engine/model/arch/arch.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace pkv::model::arch {

kernels::Act read_activation(const hf::Config& config, hf::Names names) {
  const std::string name = config.text(names);
  if (const auto act = kernels::act_from_name(name)) return *act;
  fail_load(
      {.what = "unsupported activation function",
       .where = fmt::format("{}: {}", config.file(), *names.begin()),
       .expected = "a function of transformers' ACT2FN without parameters of its own (gelu, gelu_new, relu, silu, ...)",
       .found = name});
}

double read_rope_theta(const hf::Config& config) {
  // transformers 5 nests it, transformers 4 had it at the top, older files left it to the code: 10000. What
  // transformers 4 called rope_scaling goes before rope_parameters, unless it is empty.
  const bool old = !config.child("rope_scaling").json().empty();
  const hf::Config& rope = config.child(old ? "rope_scaling" : "rope_parameters");
  const std::string type = rope.text_or({"rope_type", "type"}, "default");
  if (type != "default") rope.unsupported(rope.has("rope_type") ? "rope_type" : "type", "\"default\"");
  if (rope.number_or_none({"partial_rotary_factor"}).value_or(1) != 1) rope.unsupported("partial_rotary_factor", "1");
  const double top = config.number_or({"rope_theta"}, 10000);
  const double theta = rope.number_or({"rope_theta"}, top);
  if (!(theta > 0)) rope.unsupported("rope_theta", "a positive number");
  return theta;
}

Rotation default_rotation(Reader& in, double theta, std::int64_t head_dim) {
  Rotation r;
  const std::int64_t half = head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    r.frequencies.push_back(static_cast<float>(std::pow(theta, -static_cast<double>(i) / static_cast<double>(half))));
  }
  r.table = in.constants(r.frequencies);
  return r;
}

// The paper's slopes for the largest power of two that is not above the number of heads, then every other one of the
// next.
std::vector<float> alibi_slopes(std::int64_t heads) {
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  const auto base = [](std::int64_t n) {
    return static_cast<float>(std::exp2(-std::exp2(-(std::log2(static_cast<double>(n)) - 3))));
  };
  std::vector<float> slopes;
  for (std::int64_t i = 1; i <= power; ++i) slopes.push_back(std::pow(base(power), static_cast<float>(i)));
  for (std::int64_t i = 1; static_cast<std::int64_t>(slopes.size()) < heads; i += 2) {
    slopes.push_back(std::pow(base(2 * power), static_cast<float>(i)));
  }
  return slopes;
}

std::int64_t head_size(const hf::Config& config, std::int64_t hidden, std::int64_t heads) {
  if (hidden % heads != 0) {
    fail_load({.what = "the hidden size is not a multiple of the number of heads",
               .where = config.file(),
               .expected = fmt::format("a multiple of {}", heads),
               .found = std::to_string(hidden)});
  }
  return hidden / heads;
}

}  // namespace pkv::model::arch
