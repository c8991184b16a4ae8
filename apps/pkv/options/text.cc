#include "options/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "base/error.h"
#include "base/file.h"

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

void TextOptions::declare(Command& command, const Words& words) {
  command.add({{.name = words.text, .target = &text, .help = words.text_help},
               {.name = words.file,
                .target = &file,
                .help = words.file_help,
                .check = words.file_or_stdin ? Check() : Check{Check::Kind::existing_file},
                .excludes = {words.text}},
               {.name = "--ids", .target = &ids, .help = words.ids_help, .excludes = {words.text, words.file}},
               program::no_special_tokens(no_special_tokens)});
}

TextOptions::Words prompt_words(std::string_view text_help, std::string_view ids_help) {
  return {.text = "--prompt",
          .text_help = text_help,
          .file = "--prompt-file",
          .file_help = "a file with it, taken as it is; -: stdin",
          .ids_help = ids_help,
          .file_or_stdin = true};
}

Option no_special_tokens(bool& target) {
  return {.name = "--no-special-tokens",
          .target = &target,
          .help = "do not add the tokenizer's special tokens (<s>, </s>)"};
}

std::string read_text(const std::string& file) { return file == "-" ? read_stdin() : read_file(file, kMaxText); }

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

}  // namespace pkv::program
