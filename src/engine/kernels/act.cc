// The elementwise functions, by name and by definition (transformers' ACT2FN and PyTorch's documentation).
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/kernels/kernels.h"

namespace pkv::kernels {
namespace {

constexpr std::array<std::pair<std::string_view, Act>, 22> kNames{{{"linear", Act::identity},
                                                                   {"relu", Act::relu},
                                                                   {"relu2", Act::relu2},
                                                                   {"relu6", Act::relu6},
                                                                   {"leaky_relu", Act::leaky_relu},
                                                                   {"gelu", Act::gelu},
                                                                   {"gelu_python", Act::gelu},
                                                                   {"gelu_new", Act::gelu_tanh},
                                                                   {"gelu_pytorch_tanh", Act::gelu_tanh},
                                                                   {"gelu_python_tanh", Act::gelu_tanh},
                                                                   {"gelu_fast", Act::gelu_tanh},
                                                                   {"gelu_accurate", Act::gelu_tanh},
                                                                   {"quick_gelu", Act::quick_gelu},
                                                                   {"silu", Act::silu},
                                                                   {"swish", Act::silu},
                                                                   {"sigmoid", Act::sigmoid},
                                                                   {"tanh", Act::tanh},
                                                                   {"mish", Act::mish},
                                                                   {"hardswish", Act::hardswish},
                                                                   {"gelu_10", Act::gelu_10},
                                                                   {"laplace", Act::laplace},
                                                                   {"sqrtsoftplus", Act::sqrtsoftplus}}};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }  // PyTorch's threshold
double clamp6(double x) { return std::fmin(std::fmax(x, 0), 6); }

}  // namespace

std::optional<Act> act_from_name(std::string_view name) {
  for (const auto& [known, act] : kNames) {
    if (known == name) return act;
  }
  return std::nullopt;
}

std::string_view name_of(Act act) {
  for (const auto& [name, known] : kNames) {
    if (known == act) return name;
  }
  return {};
}

double apply(Act act, double x) {
  constexpr double kSqrtHalf = 0.70710678118654752440;
  constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
  switch (act) {
    case Act::identity:
      return x;
    case Act::relu:
      return x < 0 ? 0 : x;  // NaN stays NaN
    case Act::relu2:
      return x < 0 ? 0 : x * x;
    case Act::relu6:
      return std::isnan(x) ? x : clamp6(x);
    case Act::leaky_relu:
      return x > 0 ? x : 0.01 * x;
    case Act::gelu:
      return 0.5 * x * (1 + std::erf(x * kSqrtHalf));
    case Act::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
    case Act::quick_gelu:
      return x * sigmoid(1.702 * x);
    case Act::silu:
      return x * sigmoid(x);
    case Act::sigmoid:
      return sigmoid(x);
    case Act::tanh:
      return std::tanh(x);
    case Act::mish:
      return x * std::tanh(softplus(x));
    case Act::hardswish:
      return x * clamp6(x + 3) / 6;
    case Act::gelu_10:
      return std::clamp(apply(Act::gelu, x), -10.0, 10.0);
    case Act::laplace:
      return 0.5 * (1 + std::erf((x - 0.707107) / (0.282095 * std::sqrt(2.0))));
    case Act::sqrtsoftplus:
      return std::sqrt(softplus(x));
  }
  return x;
}

}  // namespace pkv::kernels
