// The text that a command works on: --text, --text-file or --ids, at most one of them.
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

  // The same options under other names and texts of help.
  struct Words {
    std::string_view text = "--text", text_help = "the text (default: \"I like to eat\")";
    std::string_view file = "--text-file", file_help = "a file with the text, taken as it is";
    std::string_view ids_help = "token ids: 1,2,3";
    bool file_or_stdin = false;
  };
  void declare(Command& command, const Words& words);
  void declare(Command& command) { declare(command, Words()); }

  bool given() const { return text || file || ids; }
};

// --prompt, --prompt-file (which may be "-"), --ids.
TextOptions::Words prompt_words(std::string_view text_help, std::string_view ids_help);

Option no_special_tokens(bool& target);

// A text of at most 256 MiB, as it is; "-" is stdin. Error::load when it cannot be read or is longer.
std::string read_text(const std::string& file);

// "1,2 3". Error::usage, naming `option`, for anything but numbers from 0 on.
std::vector<std::int32_t> parse_ids(std::string_view list, std::string_view option);

}  // namespace pkv::program
