// Fingerprints: hashes (XXH3, 128 bits in hex) that tell whether two sources hold the same weights or tokenizer. They
// find mistakes and damage; they are no defence against someone who wants them equal.
#pragma once

#include <string>

#include "base/progress.h"
#include "engine/model/source.h"

namespace pkv::model {

// Of name, dtype, shape and content of every tensor, whatever files they are in. Reads all of them, on `threads`
// threads (0: one per core); `progress` in bytes.
std::string weights_fingerprint(const Source& source, int threads = 0, const Progress& progress = {});

// The state (MappedFile::state) of every file that the tensors are in, one a line. Empty when one has none.
std::string weights_state(const Source& source);

// Of the names and content of the files that a tokenizer is made of; "none" without any.
std::string tokenizer_fingerprint(const Source& source);

}  // namespace pkv::model
