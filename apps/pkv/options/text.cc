#include "options/text.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

constexpr std::uint64_t kMaxText = 256 << 20;

std::string read_stdin() {
  tell_that_stdin_is_read();
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

std::string name_of(const std::string& file) { return file == "-" ? "stdin" : file; }

std::string way_to_utf8(std::string_view encoding, const std::string& file) {
  return fmt::format("iconv -f {} -t UTF-8{}{}", encoding, file == "-" ? "" : " ", file == "-" ? "" : file);
}

// Of a file, that nothing of it is left.
bool is_at_end() {
  struct stat status {};
  return fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
         lseek(STDIN_FILENO, 0, SEEK_CUR) >= status.st_size;
}

bool begins_as_utf16(std::string_view text) { return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"); }

}  // namespace

void TextOptions::declare(Command& command, const Words& words) {
  const std::string_view no_other;
  command.add(
      {{.name = "--text", .also = words.prompt ? "--prompt" : no_other, .target = &text, .help = words.text_help},
       {.name = "--text-file",
        .also = words.prompt ? "--prompt-file" : no_other,
        .target = &file,
        .help = "a file with the text, taken as it is; -: stdin",
        .check = words.prompt ? Check() : Check{Check::Kind::readable},
        .excludes = {"--text"}},
       {.name = "--ids", .target = &ids, .help = words.ids_help, .excludes = {"--text", "--text-file"}},
       program::no_special_tokens(no_special_tokens)});
}

Option no_special_tokens(bool& target) {
  return {.name = "--no-special-tokens",
          .target = &target,
          .help = "do not add the tokenizer's special tokens (<s>, </s>)"};
}

std::optional<std::string> TextOptions::read() const {
  if (was_read || ids || (text && *text != "-")) return text;
  if (text || file) return read_text(file.value_or("-"));
  if (!has_own_stdin()) return std::nullopt;
  std::string read = read_text("-");
  if (!read.empty()) return read;
  fail_usage({.what = "the text is empty",
              .where = "stdin",
              .expected = "a text, since stdin is a pipe or a file and no other text is given",
              .hint = "--text \"I like to eat\"; < /dev/null where no text is meant"});
}

std::vector<std::int32_t> TextOptions::read_ids() const {
  return parse_ids(*ids == "-" ? read_bytes("-") : *ids, "--ids");
}

TextOptions TextOptions::kept() const {
  TextOptions kept = *this;
  if (ids && *ids == "-") kept.ids = read_bytes("-");
  kept.text = read();
  kept.was_read = true;
  return kept;
}

void tell_that_stdin_is_read() {
  if (isatty(STDIN_FILENO) != 0) {
    note("reading stdin; Ctrl-D ends it");
    return;
  }
  constexpr int kPatience = 1000;  // milliseconds
  pollfd waiting{STDIN_FILENO, POLLIN, 0};
  if (piped() && poll(&waiting, 1, kPatience) == 0) note("waiting for the text on stdin; < /dev/null: there is none");
}

bool piped() {
  struct stat status {};
  if (fstat(STDIN_FILENO, &status) != 0) return false;
  return S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode);
}

// A shell that reads a list of models in a loop, or runs a script that is piped into it, hands its stdin on.
static bool is_the_parents_stdin() {
  struct stat own {
  }, parents{};
  const std::string link = fmt::format("/proc/{}/fd/0", getppid());
  return fstat(STDIN_FILENO, &own) == 0 && stat(link.c_str(), &parents) == 0 && own.st_dev == parents.st_dev &&
         own.st_ino == parents.st_ino;
}

bool has_own_stdin() {
  if (!piped()) return false;
  if (!is_the_parents_stdin()) return true;
  pollfd waiting{STDIN_FILENO, POLLIN, 0};
  const bool something = poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) != 0;
  if (something && !is_at_end()) {
    fail_usage({.what = "it is not plain whether the text is to be read from stdin: the program that started pkv "
                        "reads the same pipe or file",
                .where = "stdin",
                .expected = "an option that says which text",
                .hint = "--text - reads it; < /dev/null leaves it alone, as does --text \"I like to eat\""});
  }
  return false;
}

std::string read_bytes(const std::string& file) { return file == "-" ? read_stdin() : read_file(file, kMaxText); }

std::string read_text(const std::string& file) {
  std::string text = read_bytes(file);
  require_utf8(text, file);
  note_byte_order_mark(text, file);
  return text;
}

void require_utf8(std::string_view text, const std::string& file) {
  if (begins_as_utf16(text)) {
    fail_usage({.what = "the text is not UTF-8",
                .where = name_of(file),
                .expected = "UTF-8",
                .found = "UTF-16, by its first two bytes",
                .hint = way_to_utf8("UTF-16", file)});
  }
  const auto at = first_invalid_utf8(text);
  if (!at) return;
  fail_usage({.what = "the text is not UTF-8",
              .where = fmt::format("{}: offset {}", name_of(file), *at),
              .expected = "UTF-8",
              .found = fmt::format("byte 0x{:02X}", static_cast<unsigned char>(text[*at])),
              .hint = way_to_utf8("LATIN1", file) + ", where it is Latin-1"});
}

void note_byte_order_mark(std::string_view text, const std::string& file) {
  if (!text.starts_with("\xef\xbb\xbf")) return;
  note(fmt::format("{} begins with a byte order mark, which is part of the text; tail -c +4 leaves it out",
                   name_of(file)));
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

}  // namespace pkv::program
