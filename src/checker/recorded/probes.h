// What the probes of a recording show: whether the past is used, whether runs repeat, and why a past was wrong. Causes
// are told apart as those of a living system are (causes/search.h), but that what a cause would have given was recorded
// instead of being computed.
#pragma once

#include <optional>

#include "checker/causes/explanation.h"
#include "checker/compare/wide.h"
#include "checker/recorded/recorded.h"
#include "checker/run/runs.h"

namespace pkv::check {

// Load error where they are not places of a text of so many tokens, or do not rise; `name` says what they are.
void require_places(const Recording& recording, const std::string& name, const Places& at, std::int64_t tokens);

// Load error when a run has not the rows that its name asks for.
void require_sound_probes(const Recording& recording);

// The runs again in a wider format, where they were recorded. From the token of a tie on the recorded runs are not held
// against them.
WideRuns wide_runs(const Recording& without_past, const Recording& with_past, const std::optional<RouterTie>& tie);

// Adds what the probes show to runs whose subject and bound are known: evidence (used, control, noise), experiments and
// notes.
void add_probes(Runs& runs, const Recording& without_past, const Recording& with_past);

// Where the probed call parts, as the states of the wide runs were measured while they were recorded; none where they
// do not part.
std::optional<Inside> inside_as_measured(const Recording& with_past);

// The causes of recorded runs that differ.
Causes explain_recorded(const Runs& runs, const Recording& without_past, const Recording& with_past);

// The cause "rounding" of runs that differ within rounding, where runs in a wider format prove it.
std::optional<Explanation> recorded_rounding(const Runs& runs);

}  // namespace pkv::check
