// Experts that a recorded run took where another did not: in 16 bits a near tie between two falls one way or the other,
// which moves logits as a fault does and is none.
#pragma once

#include <optional>

#include "checker/recorded/recorded.h"
#include "checker/run/runs.h"

namespace pkv::check {

// Load error when they are not those of the recording's text.
void require_sound_routes(const Recording& with_past);

// The first token of which the two runs took other experts, where scores had moved by no more than rounding explains;
// none where they had moved by more, or none was recorded.
std::optional<RouterTie> router_tie(const Recording& with_past);

}  // namespace pkv::check
