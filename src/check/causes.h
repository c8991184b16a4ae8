// Why a past was not what it should have been. Each cause is a row of one list. It is confirmed when the logits that it
// would lead to, computed without a past, are the wrong ones that were seen; otherwise it is ranked by the share of the
// difference that it explains. Nothing is claimed when no cause explains half of it. How they are told apart:
// explain.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/inside.h"
#include "check/report.h"
#include "check/session.h"

namespace pkv::check {

struct Cause {
  enum class Kind {
    evidence,  // what other findings of the report show
    fed,       // simulated by feeding texts whole: any system can do that
    supposed,  // Counterfactual
  };
  std::string_view name, statement, look_at, reference;
  Kind kind = Kind::supposed;
  int part = 0;                  // causes of different parts may come together; 0: it comes alone
  std::int64_t least_count = 0;  // the least N of a cause that has a number to be found; 0: it has none
};

std::span<const Cause> all_causes();
const Cause& cause_of_name(std::string_view name);  // internal error when there is none

// What to say when causes were tried and none is left.
std::string unknown_cause(const Report& report);

// What a check knows beyond its report.
struct Wrong {
  Whole whole;
  std::optional<Place> in_pieces;                  // the first difference of a past used once, and
  std::optional<std::pair<Method, Place>> reused;  // of a past used more than once
};

// Reads everything of the report but causes and verdict, and fills in `causes`, `causes_tried` and what it cost.
void explain(Report& report, Subject& subject, const Wrong& wrong, const Fed& fed);

// Of a report that differs within rounding: the cause "rounding", and how sure it is. True where the texts' beginnings,
// fed without a past, do not move as much: then something else may hide below the bound.
bool name_rounding(Report& report);

}  // namespace pkv::check
