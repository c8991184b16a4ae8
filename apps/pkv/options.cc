#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "program.h"

namespace pkv::program {
namespace {

constexpr std::uint64_t kMaxText = 256 << 20;

}  // namespace

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
    input.text =
        options.file ? read_file(*options.file, kMaxText) : options.text.value_or(std::string(TextOptions::kArticle));
    input.ids = load_tokenizer(model).encode(input.text, !options.no_special_tokens);
  }
  if (input.ids.empty()) fail_usage({.what = "the text has no tokens", .hint = "--text \"I like to eat\""});
  return input;
}

void add_dtype(CLI::App& command, const std::string& name, std::optional<DType>& dtype, const std::string& what) {
  static const std::map<std::string, DType> known{{"fp32", DType::f32}, {"fp16", DType::f16}, {"bf16", DType::bf16}};
  const auto set = [&dtype](const std::string& given) { dtype = known.at(given); };
  command.add_option_function<std::string>(name, set, what)
      ->check(CLI::IsMember(std::vector<std::string>{"fp32", "fp16", "bf16"}));
}

void EngineOptions::add(CLI::App& command) {
  std::vector<std::string> names;
  for (const kernels::Ops* ops : kernels::tables()) names.emplace_back(ops->name);
  command.add_option("--backend", backend, "how it is computed")->check(CLI::IsMember(names))->capture_default_str();
  command.add_option("--threads", threads, "threads (default: one per physical core)")->check(CLI::Range(1, 1024));
  add_dtype(command, "--dtype", formats.dtype, "number format of the weights in memory (default: as stored)");
  add_dtype(command, "--past-dtype", formats.past_dtype, "number format of the past (default: that of the weights)");
}

void OutputOptions::add(CLI::App& command, const std::vector<std::string>& formats) {
  static const std::map<std::string, Format> known{
      {"table", Format::table}, {"json", Format::json}, {"csv", Format::csv}, {"md", Format::md}};
  const auto set = [this](const std::string& given) { format = known.at(given); };
  command.add_option_function<std::string>("--output", set, "form of the result")
      ->check(CLI::IsMember(formats))
      ->default_str("table");
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
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail_load({.what = fmt::format("cannot write: {}", std::strerror(errno)), .where = "stdout"});
  }
}

void note(std::string_view text) { fmt::print(stderr, "note: {}\n", text); }

}  // namespace pkv::program
