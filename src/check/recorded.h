// Two runs of the same text that someone recorded, compared as run() compares a living system's, as far as recordings
// allow: what was not recorded is reported as not known. Files and their formats are the program's affair.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/report.h"
#include "check/session.h"

namespace pkv::check {

struct Recording {
  Description description;
  std::string text;                        // empty: unknown
  std::vector<std::int32_t> ids;           // [tokens]
  Logits logits;                           // [tokens, vocab]
  std::vector<std::int64_t> pieces;        // tokens fed in each call, in order; empty: unknown
  std::vector<std::int64_t> past_lengths;  // tokens that the system said its past held after each call, as many as
                                           // pieces; -1: unknown. Empty: unknown throughout
};

// The first is the run without a past, the second the one with it. Should only the first have been fed in pieces they
// are taken the other way round, with a note. Usage error when they are not of the same ids and vocabulary; load error
// when a recording contradicts itself.
Report compare_recordings(const Recording& without_past, const Recording& with_past);

}  // namespace pkv::check
