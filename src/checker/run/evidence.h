// Is there anything to test? What shows that a past was kept, that it is as long as what was fed, that it has an
// influence, and that the system gives the same answer twice. An answer and a sentence for each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checker/compare/compare.h"

namespace pkv::check {

enum class Answer { yes, no, unknown };

// One thing to be sure of before logits mean anything.
struct Finding {
  Answer shown = Answer::unknown;
  std::string sentence;
};

// How far logits move when the past is taken away, or another text put in it: the largest |Δ| against the logits with
// the right past. Where they don't move, nothing was tested.
struct Influence {
  std::int64_t past = 0;
  double without_it = 0;
  double with_another = 0;
};

struct Evidence {
  Finding exists;   // the system reports a past after every call
  Finding length;   // the past holds as many tokens as were fed
  Finding used;     // every change of the past moves the logits
  Finding control;  // the same whole run twice is the same
  // The same call after the same past twice is the same.
  Finding repeats{Answer::unknown, "whether the same call after the same past gives the same logits is not known"};
  // What follows a past that was used before is not refused.
  Finding again{Answer::unknown, "whether a past that was used before is taken again is not known"};
  std::vector<Influence> influences;
  double noise = 0;  // largest |Δ| of the control
};

// Those worth showing, in order: an absent past has no length to speak of.
std::vector<const Finding*> findings_to_show(const Evidence& evidence);

// What the system said its past holds, against what was fed.
struct PastAccount {
  std::int64_t calls = 0;
  struct Entry {
    std::int64_t fed, said;
  };
  std::optional<Entry> wrong;  // the first that does not agree
  bool ever_held = false;      // anything at all

  void add(std::int64_t fed, std::optional<std::int64_t> said);  // nothing when the system does not say
  bool absent() const { return calls > 0 && !ever_held; }
};

Finding exists_finding(const PastAccount& account);
Finding length_finding(const PastAccount& account);

// `least`: what the logits must move by at least to count; 0 asks for any movement at all.
Finding used_finding(const std::vector<Influence>& influences, double least);

// Of the same whole run twice.
Finding control_finding(const Difference& twice);

// Of a past that was used before: the system goes on from it; or would not, and said why, when its length was `past`
// and it had been used as the experiment does.
Finding taken_finding();
Finding refused_finding(std::string_view experiment, std::int64_t past, const Error& said);

// Largest |Δ|; NaN when any logit is NaN or infinity, or none is finite: such do not tell. -infinity is that of a token
// that is masked. Both of the same shape.
double largest_distance(const Logits& a, const Logits& b);

}  // namespace pkv::check
