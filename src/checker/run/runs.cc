#include "checker/run/runs.h"

#include <algorithm>

namespace pkv::check {

const Difference& first_pieces_of(const Runs& r) {
  static const Difference none;
  const auto at =
      std::find_if(r.results.begin(), r.results.end(), [](const auto& x) { return x.name == first_pieces; });
  return at == r.results.end() ? none : at->difference;
}

}  // namespace pkv::check
