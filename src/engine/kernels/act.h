// The elementwise functions that an operation can end with: all of transformers' ACT2FN but those with learned
// parameters (prelu, xielu).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pkv::kernels {

enum class Act : std::uint8_t {
  identity,  // "linear" in transformers
  relu,
  relu2,       // relu(x)^2
  relu6,       // min(relu(x), 6)
  leaky_relu,  // slope 0.01
  gelu,        // x * Phi(x), by erf
  gelu_tanh,   // the tanh approximation: gelu_new, gelu_pytorch_tanh, gelu_fast, gelu_accurate
  quick_gelu,  // x * sigmoid(1.702 x)
  silu,        // x * sigmoid(x)
  sigmoid,
  tanh,
  mish,          // x * tanh(softplus(x))
  hardswish,     // x * relu6(x + 3) / 6
  gelu_10,       // gelu limited to [-10, 10]
  laplace,       // (1 + erf((x - 0.707107) / (0.282095 sqrt(2)))) / 2
  sqrtsoftplus,  // sqrt(softplus(x))
};

std::optional<Act> act_from_name(std::string_view transformers_name);
std::string_view name_of(Act act);  // the first of transformers' names: "gelu_new"
double apply(Act act, double x);    // the definition

}  // namespace pkv::kernels
