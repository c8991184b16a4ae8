// What the probes of a recording show: whether the past is used, whether runs repeat, and why a past was wrong. Causes
// are told apart as those of a living system are (causes/search.h), but that what a cause would have given was recorded
// instead of being computed.
#pragma once

#include <optional>

#include "checker/causes/explanation.h"
#include "checker/recorded/recorded.h"
#include "checker/run/runs.h"

namespace pkv::check {

// Load error where they are not places of a text of so many tokens, or do not rise; `name` says what they are.
void require_places(const Recording& recording, const std::string& name, const Places& at, std::int64_t tokens);

// Load error when a run has not the rows that its name asks for.
void require_sound_probes(const Recording& recording);

// Adds what the probes show to runs whose subject and bound are known: evidence (used, control, noise), experiments and
// notes.
void add_probes(Runs& runs, const Recording& without_past, const Recording& with_past);

// The causes of recorded runs that differ.
Causes explain_recorded(const Runs& runs, const Recording& without_past, const Recording& with_past);

// The cause "rounding", where the same was recorded in a wider format and is much nearer there.
std::optional<Explanation> recorded_rounding(const Runs& runs, const Recording& with_past);

}  // namespace pkv::check
