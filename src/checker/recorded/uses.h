// What recordings show of pasts that are not used alone: two alive at once, a batch that has a past, a copy that goes
// on while its original is fed, a past that is cut back. Each is held against the same tokens without any past.
#pragma once

#include <string>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/recorded/probed.h"
#include "checker/run/runs.h"

namespace pkv::check {

// Adds a result for each that was recorded.
void add_uses(Runs& runs, const Probed& probed);

// The causes of uses that go wrong, where a past that is used alone gives the right logits.
void add_causes_of_uses(Causes& found, const Probed& probed);

}  // namespace pkv::check
