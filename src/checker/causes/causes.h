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

#include "checker/compare/report.h"
#include "checker/run/inside.h"
#include "checker/session/session.h"

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
  bool reads_past = true;        // it lies in a past that is read; false: it shows, or may, where there is none
};

std::span<const Cause> all_causes();
const Cause& cause_of_name(std::string_view name);  // internal error when there is none

// The cause as a report gives it, confirmed by something else than logits that were computed.
Explanation explanation_of(std::string_view name, std::string evidence);

// Whether the report is sure of that cause, alone; to add it as explanation_of() gives it, unless it is; and to leave
// out what it is not sure of, where it is sure of anything.
bool confirmed(const Report& report, std::string_view name);
void add_found(Report& report, std::string_view name, std::string evidence);
void keep_confirmed(Report& report);

// What to say when causes were tried and none is left.
std::string unknown_cause(const Report& report);

// "24 causes tried with 40 feeds of 512 tokens"; of recordings "24 causes tried, as recorded"
std::string cost_of_explaining(const Report& report);

// What a check knows beyond its report.
struct Wrong {
  Whole whole;
  std::optional<Place> in_pieces;                  // the first difference of a past used once, and
  std::optional<std::pair<Method, Place>> reused;  // of a past used more than once
  double bound = 0;                                // how far logits move where nothing is wrong
};

// Reads everything of the report but causes and verdict, and fills in `causes`, `causes_tried` and what it cost.
void explain(Report& report, Subject& subject, const Wrong& wrong, const Fed& fed);

// How far logits move without a past, in calls of other lengths and from run to run: what rounding does here.
double moved_without_past(const Report& report);

// True where the past moves logits much more than that: then a fault may hide below the bound.
bool more_than_rounding_does(const Report& report);

// Adds the cause "rounding" to a report that differs within rounding; it is certain where the past adds nothing to it.
void name_rounding(Report& report);

}  // namespace pkv::check
