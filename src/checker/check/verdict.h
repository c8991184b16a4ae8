// The sentence at the top of a report. The rules, in order:
//   not finite       a logit is NaN or infinite
//   differs          logits are further apart than rounding explains, in the format that was checked or in a wider one
//                    (of a system that promises the same bits: any bit is another), its account of its past's length
//                    is wrong, or it refuses to go on from a past that was used before
//   test is empty    logits agree, but no past was kept or it had no influence
//   identical        every bit compared is equal, the control's too
//   equal within rounding
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/run/runs.h"

namespace pkv::check {

enum class Outcome {
  identical,        // every bit of every logit compared
  within_rounding,  // no further apart than rounding explains, and the system promises no more
  differs,
  empty,       // logits agree, but nothing shows that a past took part
  not_finite,  // NaN or infinite logits
};

struct Verdict {
  Outcome outcome = Outcome::empty;
  std::string sentence;              // what was found, for someone who knows what a past is
  std::vector<std::string> reasons;  // sentences: what goes with it, the gravest first

  bool holds() const { return outcome == Outcome::identical || outcome == Outcome::within_rounding; }
};

// "identical", "equal within rounding", "differs", "test is empty", "not finite"
std::string name_of(Outcome outcome);

// How far a fault may move logits and still look as these do; none where every bit is equal, or the runs differ.
std::optional<double> blind_spot(const Runs& runs);

// What logits and evidence say of themselves, before causes are sought.
Outcome outcome_of(const Runs& runs);

// `causes`: none where none were sought.
Verdict judge(const Runs& runs, const Causes& causes);

}  // namespace pkv::check
