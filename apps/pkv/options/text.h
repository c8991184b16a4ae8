// The text that a command works on: --text, --text-file or --ids, at most one of them; or what is piped into the
// program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "options/option.h"

namespace pkv::program {

inline constexpr std::string_view kArticleText = "I like to eat";

struct TextOptions {
  std::optional<std::string> text, file, ids;
  bool no_special_tokens = false;
  bool was_read = false;  // `text` is the text, whatever it looks like, or there is none

  struct Words {
    std::string_view text_help = "the text; -: stdin (default: what is piped in, else \"I like to eat\")";
    std::string_view ids_help = "token ids: 1,2,3; -: stdin";
    bool prompt = false;  // --text and --text-file may also be called --prompt and --prompt-file
  };
  void declare(Command& command, const Words& words);
  void declare(Command& command) { declare(command, Words()); }

  bool given() const { return text || file || ids; }

  // The text: what was given, or else what is piped in. Nothing where there is neither, or ids were given. Error::load
  // when it cannot be read, Error::usage when it is not UTF-8 or an empty pipe. Stdin is read once: whoever needs the
  // text again asks a copy that was kept().
  std::optional<std::string> read() const;
  // Error::usage when they are not ids. Only where ids were given.
  std::vector<std::int32_t> read_ids() const;
  // These options, with what was to be read in them.
  TextOptions kept() const;
};

Option no_special_tokens(bool& target);

// Whether stdin is a file or a pipe.
bool piped();
// The same, and the text is to be taken from it: it is not also the stdin of the program that started this one, a shell
// that reads a list of models, say. Error::usage where it is and holds something, for that could be meant as the text.
bool has_own_stdin();
// On a terminal, or where stdin says nothing for a while.
void tell_that_stdin_is_read();

// The bytes of a file, at most 256 MiB; "-" is stdin, and a terminal is told that it is read. Error::load when it
// cannot be read or is longer.
std::string read_bytes(const std::string& file);
// The same of a text in UTF-8, with a note where it begins with a byte order mark. Error::usage with a way out when it
// is in another encoding.
std::string read_text(const std::string& file);
// What read_text asks of a text, or of its first part: `file` as it was named.
void require_utf8(std::string_view text, const std::string& file);
void note_byte_order_mark(std::string_view text, const std::string& file);

// "1,2 3". Error::usage, naming `option`, for anything but numbers from 0 on.
std::vector<std::int32_t> parse_ids(std::string_view list, std::string_view option);

}  // namespace pkv::program
