// How the engine computes: --backend, --threads, and the number formats of weights and pasts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "options/option.h"

namespace pkv::kernels {
class Backend;
}
namespace pkv::model {
struct LoadOptions;
}

namespace pkv::program {

// The number formats that a model can be loaded in.
std::span<const std::string_view> load_in_names();

// "float16" and the like, as other programs call number formats.
inline constexpr std::pair<std::string_view, std::string_view> kFloatSpellings[] = {
    {"float32", "fp32"},       {"float16", "fp16"},       {"bfloat16", "bf16"},      {"float", "fp32"},
    {"half", "fp16"},          {"f32", "fp32"},           {"f16", "fp16"},           {"FP32", "fp32"},
    {"FP16", "fp16"},          {"BF16", "bf16"},          {"F32", "fp32"},           {"F16", "fp16"},
    {"torch.float32", "fp32"}, {"torch.float16", "fp16"}, {"torch.bfloat16", "bf16"}};

// Names are those of the command line; empty ones were not given.
struct EngineOptions {
  std::string backend = "cpu";
  int threads = 0;  // 0: one per physical core
  std::string dtype, past_dtype, load_in;
  std::optional<std::int64_t> context;  // tokens that texts will have at most
  bool double_quant = false;
  std::optional<std::int64_t> block_size;
  std::vector<std::string> skip;
  std::optional<float> int8_threshold;
  std::string int8_outliers = "row";
  std::string numerics = "exact";
  bool reads_often = false;  // weights will be read so often that it pays to copy them from their file first
  std::string as;            // an implementation whose faults the engine takes over

  void declare(Command& command);  // all but --as
  void declare_as(Command& command);
  void declare_backend(Command& command);  // with --threads
  void declare_threads(Command& command);
  // --load-in and what belongs to it.
  void declare_load_in(Command& command, std::span<const std::string_view> names, std::string_view help);
  void declare_dtype(Command& command, std::string_view help);

  // Error::usage when the options contradict each other, or nothing is called `as` that.
  model::LoadOptions load_options() const;
  kernels::Backend open() const;
};

// What a name of load_in_names() means to `load`.
void set_load_in(model::LoadOptions& options, const std::string& name);

}  // namespace pkv::program
