// Mistral's own tokenizer file, tekken.json: byte-level BPE by ranks, as tiktoken has it, behind a block of special
// tokens. Read as mistral-common reads it, which AutoTokenizer of transformers prefers for Mistral's models: <s> stands
// before a text, and special tokens that the text spells out are no tokens. What it says of pictures and sound is not
// read.
#pragma once

#include <string_view>

#include "text/pipeline.h"

namespace pkv::text {

// `where` names the file in errors, which are load errors.
Pipeline parse_tekken(std::string_view json, std::string_view where);

}  // namespace pkv::text
