// The state that a faulty implementation goes on from (fault.h), in memory of its own. The past's own stays as it is.
// Slow; for faults only.
#pragma once

#include "engine/kernels/backend.h"
#include "engine/model/feed.h"
#include "engine/model/model.h"

namespace pkv::model {

// Empty where the feed's fault, if it has one, changes no state.
kernels::Memory misstate(const Model& model, const Feed& feed);

}  // namespace pkv::model
