// Is there anything to test? What shows that a past was kept, that it is as long as what was fed, that it has an
// influence, and that the system gives the same answer twice. Sentences and yes/no; see Evidence in report.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checker/compare/compare.h"
#include "checker/compare/report.h"

namespace pkv::check {

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
Finding used_finding(const std::vector<Probe>& probes, double least);

// Of the same whole run twice.
Finding control_finding(const Difference& twice);

// Of a past that was used before: the system goes on from it; or would not, and said why, when its length was `past`
// and it had been used as the experiment does.
Finding taken_finding();
Finding refused_finding(std::string_view experiment, std::int64_t past, const Error& said);

// Largest |Δ|; NaN when any logit is. Both of the same shape.
double largest_distance(const Logits& a, const Logits& b);

}  // namespace pkv::check
