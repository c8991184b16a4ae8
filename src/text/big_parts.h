// Vocabulary and merges of a tokenizer.json, which are nearly all of its bytes, read several times as fast as by the
// reader of json.h, which remains the judge: where anything is spelled in a way that is not known here, nothing is
// taken, and that reader says what is wrong, if anything is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/json.h"

namespace pkv::text {

// Puts model.vocab and model.merges into `file`, and returns the text with {} and [] in their places. Nothing where it
// cannot; then what `file` holds is of no use.
std::optional<std::string> take_big_parts(std::string_view json, TokenizerFile& file);

}  // namespace pkv::text
