// What can be done with a model that pkv's own engine does not run: another program runs it, and what that did is
// recorded and checked.
#pragma once

#include <filesystem>

#include "base/error.h"

namespace pkv::program {

// The error with that way as what to try, if `model` is of a kind that the engine does not run: a model_type that it
// does not know, or GGUF. Else the error as it is.
Error with_way_round(const Error& error, const std::filesystem::path& model);

}  // namespace pkv::program
