// What the probes of a recording show: whether the past is used, whether runs repeat, and why a past was wrong. The
// causes are those of causes.h, and are told apart as those of a living system are (explain.h): what a cause would have
// given was recorded instead of being computed.
#pragma once

#include "checker/recorded/recorded.h"

namespace pkv::check {

// Load error when a run has not the rows that its name asks for.
void require_sound_probes(const Recording& recording);

// Fills in what a report has of evidence (used, control, noise), adds experiments to its results, and notes.
void add_probes(Report& report, const Recording& without_past, const Recording& with_past);

// Reads everything of the report but causes and verdict; fills in the causes.
void explain_recorded(Report& report, const Recording& without_past, const Recording& with_past);

// Of a report that differs within rounding, where the same was recorded in a wider format.
void add_rounding(Report& report, const Recording& with_past);

}  // namespace pkv::check
