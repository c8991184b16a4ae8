// Translates a regular expression from Oniguruma's Ruby syntax, which the `tokenizers` library uses, to PCRE2's. The
// two differ in what \s, \w, \h, \v, (?m), {n}+, script names and nested classes mean, so every construct is parsed and
// written anew; one that is not known here, or has no faithful counterpart, is refused by name.
//
// Known rest: (?i) in Oniguruma also folds one character to several (ß to ss), which PCRE2 does not; \p{Mn} still holds
// U+1171E, which became an \p{Mc} in Unicode 16.
#pragma once

#include <string>
#include <string_view>

namespace pkv::text {

struct Translated {
  std::string plain;  // as if Unicode had stopped where PCRE2's tables do
  std::string exact;  // with the characters added since in every class
};

// Error::load with `where` when the pattern cannot be translated.
Translated translate_regex(std::string_view pattern, std::string_view where);

std::string escape_regex(std::string_view text);

}  // namespace pkv::text
