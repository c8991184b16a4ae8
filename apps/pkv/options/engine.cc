#include "options/engine.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/pool.h"
#include "engine/kernels/backend.h"
#include "engine/kernels/kernels.h"
#include "engine/model/formats.h"
#include "subjects/faults.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

constexpr std::string_view kLoadIn[] = {"fp32", "fp16", "bf16", "int8", "fp4", "nf4"};
constexpr std::string_view kFloats[] = {"fp32", "fp16", "bf16"};
constexpr std::string_view kOutliers[] = {"row", "call"};
constexpr std::string_view kNumerics[] = {"exact", "llama.cpp"};

std::span<const std::string_view> backend_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const kernels::Ops* ops : kernels::tables()) all.emplace_back(ops->name);
    return all;
  }();
  return names;
}

std::optional<DType> dtype_of(const std::string& name) { return name.empty() ? std::nullopt : from_name(name); }

void require(bool given, bool fits, std::string_view option, std::string_view with) {
  if (!given || fits) return;
  fail_usage({.what = fmt::format("{} has no meaning here", option), .expected = fmt::format("--load-in {}", with)});
}

}  // namespace

std::span<const std::string_view> load_in_names() { return kLoadIn; }

void EngineOptions::declare(Command& command) {
  declare_backend(command);
  declare_load_in(command, kLoadIn, "number format of the weights in memory (default: as stored)");
  command.add({{.name = "--int8-threshold",
                .target = &int8_threshold,
                .help = "int8: activations from here on stay in 16 bits (default: as the model says, or 6)",
                .check = at_least(0)},
               {.name = "--int8-outliers",
                .target = &int8_outliers,
                .help = "int8: which columns those are: of each row, or of all rows of a call, as bitsandbytes does it",
                .check = one_of(kOutliers),
                .shows_default = true}});
  command.add({.name = "--numerics",
               .target = &numerics,
               .help = "GGUF's formats: llama.cpp: activations are rounded to 8 bits first, as it rounds them",
               .check = one_of(kNumerics),
               .shows_default = true});
  declare_dtype(command, "number format of weights that are not quantised (default: as stored)");
  command.add({.name = "--past-dtype",
               .target = &past_dtype,
               .help = "number format of the past (default: that of the weights)",
               .check = one_of(kFloats, kFloatSpellings)});
  command.add({.name = "--longest-text",
               .target = &context,
               .help = "longest text to come, for models that place tokens of long texts otherwise (longrope)",
               .check = within(1, 1 << 30)});
}

void EngineOptions::declare_as(Command& command) {
  command.add({.name = "--as",
               .target = &as,
               .help = "run the model as another implementation would, faults included (help: list them)"});
}

void EngineOptions::declare_backend(Command& command) {
  command.add({.name = "--backend",
               .target = &backend,
               .help = "how it is computed (cuda-model: a GPU's arithmetic to the bit, on the host, slowly)",
               .check = one_of(backend_names()),
               .shows_default = true});
  declare_threads(command);
}

void EngineOptions::declare_threads(Command& command) {
  command.add({.name = "--threads",
               .target = &threads,
               .help = "threads (default: one per physical core)",
               .check = within(1, 1024)});
  command.before.emplace_back([this] {
    const int most = processors();
    if (threads <= most) return;
    note(fmt::format("--threads {}: more than the {} here would wait for each other; {} are used", threads,
                     most == 1 ? "1 processor" : fmt::format("{} processors", most), most));
    threads = most;
  });
}

void EngineOptions::declare_load_in(Command& command, std::span<const std::string_view> names, std::string_view help) {
  command.add(
      {{.name = "--load-in", .target = &load_in, .help = help, .check = one_of(names, kFloatSpellings)},
       {.name = "--double-quant", .target = &double_quant, .help = "fp4, nf4: scales in 8 bits"},
       {.name = "--block-size", .target = &block_size, .help = "fp4, nf4: weights that share a scale (default: 64)"},
       {.name = "--skip",
        .target = &skip,
        .help = "modules not to quantise, by name: lm_head.dense,h.0 (embeddings, norms and the output layer "
                "never are)",
        .commas = true}});
}

void EngineOptions::declare_dtype(Command& command, std::string_view help) {
  command.add({.name = "--dtype", .target = &dtype, .help = help, .check = one_of(kFloats, kFloatSpellings)});
}

void set_load_in(model::LoadOptions& options, const std::string& name) {
  if (const auto dtype = from_name(name); dtype && is_float(*dtype)) {
    options.dtype = dtype;
    options.decode = true;
  } else {
    options.quantize.emplace().format = quant::format_from_name(name).value();
  }
}

// What one option says about another is known when all are read.
model::LoadOptions EngineOptions::load_options() const {
  subjects::require_implementation(as);
  model::LoadOptions options{.dtype = dtype_of(dtype), .past_dtype = dtype_of(past_dtype), .context = context};
  if (!load_in.empty()) set_load_in(options, load_in);
  if (options.decode && !dtype.empty() && dtype_of(dtype) != options.dtype) {
    fail_usage({.what = "--load-in and --dtype contradict each other",
                .found = fmt::format("--load-in {} --dtype {}", load_in, dtype),
                .hint = "one of them"});
  }
  const bool four_bits = options.quantize && quant::traits(options.quantize->format).has_blocks();
  require(double_quant, four_bits, "--double-quant", "fp4 or nf4");
  require(block_size.has_value(), four_bits, "--block-size", "fp4 or nf4");
  require(!skip.empty(), options.quantize.has_value(), "--skip", "int8, fp4 or nf4");
  if (options.quantize) {
    options.quantize->nested = double_quant;
    options.quantize->block = block_size;
    options.quantize->skip = skip;
  }
  options.int8_threshold = int8_threshold;
  options.int8_outliers_of_call = int8_outliers == "call";
  options.as_ggml = numerics == "llama.cpp";
  return options;
}

kernels::Backend EngineOptions::open() const { return kernels::Backend(backend, threads); }

}  // namespace pkv::program
