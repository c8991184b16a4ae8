// Why a past was not what it should have been. Each cause is a row of one list. It is confirmed when the logits that it
// would lead to, computed without a past, are the wrong ones that were seen; otherwise it is ranked by the share of the
// difference that it explains. Nothing is claimed when no cause explains half of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/report.h"
#include "check/session.h"

namespace pkv::check {

struct Cause {
  enum class Kind {
    evidence,  // what other findings of the report show
    alone,     // the new tokens fed as a text of their own; any system can do that
    supposed,  // Counterfactual
    counted,   // the same with a number to be found
  };
  std::string_view name, statement, look_at, reference;
  Kind kind = Kind::supposed;
  int part = 0;  // causes of different parts may come together; 0: it comes alone
};

std::span<const Cause> all_causes();
const Cause& cause_of_name(std::string_view name);  // internal error when there is none

// What to say when causes were tried and none is left.
std::string unknown_cause(const Report& report);

// Reads everything of the report but causes and verdict, and fills in `causes`. `right`: logits of `ids` without past.
void explain(Report& report, Subject& subject, std::span<const std::int32_t> ids, const Logits& right);

}  // namespace pkv::check
