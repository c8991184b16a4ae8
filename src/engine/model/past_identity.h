// What a saved past depends on, found out for a loaded model. Part of engine/model/past_file.h, whose door that is.
#pragma once

#include <set>
#include <string>

#include "engine/kernels/numerics.h"
#include "engine/model/past_file.h"

namespace pkv::model {

// Hashes the weights.
PastIdentity identity_of(const Model& model, const PastFileOptions& options);

// PastIdentity::numerics and ::operations of a table that gives these results, for a model that uses the operations
// named `used`.
std::string numerics_text(const kernels::Numerics& numerics);
std::string operations_text(const kernels::Numerics& numerics, const std::set<std::string>& used);

// Two arithmetics that differ: what differs of each.
struct Differing {
  std::string ours, theirs;
};

// How the arithmetic that a past was saved with differs from ours; none where its bits are those that we give. A past
// that names its operations depends on these alone; an older one on all that there were then.
std::optional<Differing> differing_arithmetic(const PastIdentity& ours, const PastIdentity& theirs);

}  // namespace pkv::model
