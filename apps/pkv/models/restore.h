// A saved past as the program uses it: what is used of it, and why none is where it does not fit, is said in a note.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/model/past_file.h"
#include "options/saved_past.h"

namespace pkv::program {

// The saved past of the longest beginning of `prompt`, with a note on how much of it is used; none, with a note that
// says why, when it does not fit and that is to be ignored. Error::load when it does not fit.
std::optional<model::Restored> restore(const SavedPastOptions& options, const model::Model& model,
                                       std::span<const std::int32_t> prompt, int threads);

}  // namespace pkv::program
