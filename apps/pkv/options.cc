#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "program.h"
#include "subjects/faults.h"

namespace pkv::program {
namespace {

constexpr std::uint64_t kMaxText = 256 << 20;

std::string read_stdin() {
  std::string text;
  while (text.size() <= kMaxText && std::cin) {
    const std::size_t size = text.size();
    text.resize(size + (1 << 16));
    std::cin.read(text.data() + size, 1 << 16);
    text.resize(size + static_cast<std::size_t>(std::cin.gcount()));
  }
  if (text.size() <= kMaxText) return text;
  fail_load({.what = "text is too long",
             .where = "stdin",
             .expected = fmt::format("at most {} bytes", kMaxText),
             .found = "more"});
}

}  // namespace

std::string read_text(const std::string& file) { return file == "-" ? read_stdin() : read_file(file, kMaxText); }

void TextOptions::add(CLI::App& command) {
  auto* as_text = command.add_option("--text", text, "the text (default: \"I like to eat\")");
  auto* as_file =
      command.add_option("--text-file", file, "a file with the text, taken as it is")->check(CLI::ExistingFile);
  auto* as_ids = command.add_option("--ids", ids, "token ids: 1,2,3");
  as_file->excludes(as_text);
  as_ids->excludes(as_text)->excludes(as_file);
  command.add_flag("--no-special-tokens", no_special_tokens, kNoSpecialTokens);
}

std::vector<std::int32_t> parse_ids(std::string_view list, std::string_view option) {
  std::vector<std::int32_t> ids;
  const char* p = list.data();
  const char* const end = p + list.size();
  const auto separator = [](char c) { return c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (p != end) {
    if (separator(*p)) {
      ++p;
      continue;
    }
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(p, end, id);
    if (error != std::errc() || id < 0 || (next != end && !separator(*next))) {
      fail_usage({.what = "not a token id",
                  .where = std::string(option),
                  .expected = "numbers from 0 on, separated by commas or spaces",
                  .found = std::string(p, std::min(p + 20, end))});
    }
    ids.push_back(id);
    p = next;
  }
  return ids;
}

Input read_input(const TextOptions& options, const std::filesystem::path& model) {
  Input input;
  if (options.ids) {
    input.ids = parse_ids(*options.ids, "--ids");
  } else {
    input.text = options.file ? read_text(*options.file) : options.text.value_or(std::string(TextOptions::kArticle));
    input.ids = load_tokenizer(model).encode(input.text, !options.no_special_tokens);
  }
  if (input.ids.empty()) fail_usage({.what = "the text has no tokens", .hint = "--text \"I like to eat\""});
  return input;
}

CLI::Validator at_least(int least) {
  const auto check = [least](const std::string& given) {
    double value = 0;
    if (CLI::detail::lexical_cast(given, value) && value >= least) return std::string();
    return fmt::format("{} is not a number of at least {}", given, least);
  };
  return {check, ""};
}

void add_dtype(CLI::App& command, const std::string& name, std::optional<DType>& dtype, const std::string& what) {
  const auto set = [&dtype](const std::string& given) { dtype = from_name(given); };
  command.add_option_function<std::string>(name, set, what)
      ->check(CLI::IsMember(std::vector<std::string>{"fp32", "fp16", "bf16"}));
}

void set_load_in(model::LoadOptions& formats, const std::string& name) {
  if (const auto dtype = from_name(name); dtype && is_float(*dtype)) {
    formats.dtype = dtype;
    formats.decode = true;
  } else {
    formats.quantize.emplace().format = quant::format_from_name(name).value();
  }
}

void EngineOptions::add_load_in(CLI::App& command, const std::vector<std::string>& names, const std::string& what) {
  command.add_option("--load-in", load_in, what)->check(CLI::IsMember(names));
  command.add_flag("--double-quant", double_quant, "fp4, nf4: scales in 8 bits");
  command.add_option("--block-size", block_size, "fp4, nf4: weights that share a scale (default: 64)");
  command
      .add_option("--skip", skip,
                  "modules not to quantise, by name: lm_head.dense,h.0 (embeddings, norms and the output layer never "
                  "are)")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void EngineOptions::add_threads(CLI::App& command) {
  command.add_option("--threads", threads, "threads (default: one per physical core)")->check(CLI::Range(1, 1024));
}

void EngineOptions::add_as(CLI::App& command) {
  command.add_option("--as", as, "run the model as another implementation would, faults included (help: list them)");
}

// What one option says about another is known when all are read.
model::LoadOptions EngineOptions::load_options() const {
  subjects::require_implementation(as);
  model::LoadOptions options = formats;
  if (!load_in.empty()) set_load_in(options, load_in);
  if (options.decode && formats.dtype && formats.dtype != options.dtype) {
    fail_usage({.what = "--load-in and --dtype contradict each other",
                .found = fmt::format("--load-in {} --dtype {}", load_in, name_of(*formats.dtype)),
                .hint = "one of them"});
  }
  const bool four_bits = options.quantize && options.quantize->format != quant::Format::int8;
  const auto needs = [](bool given, bool fits, std::string_view option, std::string_view with) {
    if (!given || fits) return;
    fail_usage({.what = fmt::format("{} has no meaning here", option), .expected = fmt::format("--load-in {}", with)});
  };
  needs(double_quant, four_bits, "--double-quant", "fp4 or nf4");
  needs(block_size.has_value(), four_bits, "--block-size", "fp4 or nf4");
  needs(!skip.empty(), options.quantize.has_value(), "--skip", "int8, fp4 or nf4");
  if (options.quantize) {
    options.quantize->nested = double_quant;
    options.quantize->block = block_size;
    options.quantize->skip = skip;
  }
  options.int8_threshold = int8_threshold;
  options.int8_outliers_of_call = int8_outliers == "call" || as == "bitsandbytes" || as == "rows-not-independent";
  return options;
}

void EngineOptions::add_backend(CLI::App& command) {
  std::vector<std::string> names;
  for (const kernels::Ops* ops : kernels::tables()) names.emplace_back(ops->name);
  command.add_option("--backend", backend, "how it is computed")->check(CLI::IsMember(names))->capture_default_str();
  add_threads(command);
}

void EngineOptions::add(CLI::App& command) {
  add_backend(command);
  add_load_in(command, kLoadIn, "number format of the weights in memory (default: as stored)");
  command
      .add_option("--int8-threshold", int8_threshold,
                  "int8: activations from here on stay in 16 bits (default: as the model says, or 6)")
      ->check(at_least(0));
  command
      .add_option("--int8-outliers", int8_outliers,
                  "int8: which columns those are: of each row, or of all rows of a call, as bitsandbytes does it")
      ->check(CLI::IsMember(std::vector<std::string>{"row", "call"}))
      ->capture_default_str();
  add_dtype(command, "--dtype", formats.dtype, "number format of weights that are not quantised (default: as stored)");
  add_dtype(command, "--past-dtype", formats.past_dtype, "number format of the past (default: that of the weights)");
}

void OutputOptions::add(CLI::App& command, const std::vector<std::string>& formats) {
  static const std::map<std::string, Format> known{
      {"table", Format::table}, {"text", Format::table}, {"json", Format::json},  {"csv", Format::csv},
      {"md", Format::md},       {"html", Format::html},  {"junit", Format::junit}};
  const auto set = [this](const std::string& given) { format = known.at(given); };
  command.add_option_function<std::string>("--output", set, "form of the result")
      ->check(CLI::IsMember(formats))
      ->default_str(formats.front());
  command.add_option("--output-file", file, "write the result to this file instead of stdout");
}

bool OutputOptions::colour() const {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return file.empty() && (no_colour == nullptr || *no_colour == '\0') && !dumb && isatty(STDOUT_FILENO) != 0;
}

void OutputOptions::write(std::string_view text) const {
  if (!file.empty()) {
    write_file(file, text);
    return;
  }
  clear_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail_load({.what = fmt::format("cannot write: {}", std::strerror(errno)), .where = "stdout"});
  }
}

std::string megabytes(std::uint64_t bytes) {
  return bytes < 10'000'000'000 ? fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6)
                                : fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

ExitCode code_of(Error::Kind kind) {
  switch (kind) {
    case Error::Kind::usage:
      return bad_usage;
    case Error::Kind::load:
      return cannot_load;
    case Error::Kind::internal:
      break;
  }
  return internal_error;
}

void note(std::string_view text) {
  clear_progress();
  say(fmt::format("note: {}\n", text));
}

}  // namespace pkv::program
