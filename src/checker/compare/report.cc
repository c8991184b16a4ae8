#include "checker/compare/report.h"

#include <algorithm>

namespace pkv::check {

const Difference& first_parts_of(const Report& r) {
  static const Difference none;
  const auto at = std::find_if(r.results.begin(), r.results.end(), [](const auto& x) { return x.name == first_parts; });
  return at == r.results.end() ? none : at->difference;
}

std::string name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::identical:
      return "identical";
    case Outcome::within_rounding:
      return "equal within rounding";
    case Outcome::differs:
      return "differs";
    case Outcome::empty:
      return "test is empty";
    case Outcome::not_finite:
      break;
  }
  return "not finite";
}

}  // namespace pkv::check
