// What a saved past depends on, found out for a loaded model. Part of engine/model/past_file.h, whose door that is.
#pragma once

#include "engine/model/past_file.h"

namespace pkv::model {

// Hashes the weights.
PastIdentity identity_of(const Model& model, const PastFileOptions& options);

}  // namespace pkv::model
