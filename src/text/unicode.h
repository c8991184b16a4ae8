// Characters as the `tokenizers` library sees them. Its parts carry different versions of Unicode: regular expressions
// 16, number tests 17 and lower case 17 (the Rust standard library), normalisation 9, punctuation 8; PCRE2 10.42
// carries 14 and utf8proc 2.8 carries 15. The tables here close the gaps; each was found by asking the library (0.23.3)
// about every code point, so that the differences left are only those that regex_syntax.h names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pkv::text {

bool is_white_space(char32_t code);  // property White_Space
bool is_number(char32_t code);       // categories Nd, Nl, No
bool is_mark(char32_t code);         // categories M*, as of Unicode 8
bool is_nonspacing(char32_t code);   // category Mn, as of Unicode 7
bool is_other(char32_t code);        // categories Cc, Cf, Co, as of Unicode 8
bool is_punctuation(char32_t code);  // ASCII punctuation and categories P*, as of Unicode 8

std::string lowercase(std::string_view text);  // character by character, without context

enum class Form { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view text, Form form);

}  // namespace pkv::text
