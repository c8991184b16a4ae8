// Classes of characters that patterns name (\p{L}, [:alpha:], \w), as items of a PCRE2 class. PCRE2 10.42 knows Unicode
// 14 and the `tokenizers` library Unicode 16, so each class also has the items that were added in between. A class
// whose additions are not known here is not found, which makes the pattern refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pkv::text {

struct Property {
  std::string items;   // "\p{L}"
  std::string added;   // "\x{1c89}-\x{1c8a}...", what Unicode 15 and 16 added
  bool cased = false;  // tells upper from lower case
};

std::optional<Property> find_property(std::string_view name);     // of \p{name}
std::optional<Property> find_posix_class(std::string_view name);  // of [:name:]
// of \d \s \w \h, as Oniguruma has them in or outside brackets
Property perl_class(char letter, bool in_class);
Property word_of_rust();  // \w of Rust's regex crate

// Whether `text` holds a character for which `added` matters.
bool has_added_characters(std::string_view text);

}  // namespace pkv::text
