// The call that the probes of a recording repeat, and the runs of it by name. For the files that read probes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "checker/compare/bound.h"
#include "checker/compare/compare.h"
#include "checker/compare/wide.h"
#include "checker/recorded/recorded.h"
#include "checker/run/runs.h"

namespace pkv::check {

inline std::int64_t probed_rows(const Recording& r) {
  return std::min(std::ssize(r.ids) - r.probes->past, r.probes->rows);
}

struct Probed {
  const Recording &without, &with;
  const Probes& probes;
  Tolerance tolerance;
  double wide_noise = 0;  // what rounding explains in the wider format, if there are runs in it
  bool tie = false;       // a router's tie fell otherwise in the probed call, or before it

  std::int64_t past() const { return probes.past; }
  std::int64_t rows() const { return probed_rows(with); }
  const Logits* run(std::string_view name) const { return named(probes.runs, name); }
  const Logits* suppose(std::string_view name) const { return named(probes.supposed, name); }
  const Logits* alone() const { return suppose("new-tokens-alone"); }
  const Logits* seen() const { return run("again"); }

  // Of the same tokens: without past, and as recorded first with it.
  Logits right() const { return slice(without.logits, without.row_of(past()), rows()); }
  Logits recorded() const { return slice(with.logits, with.row_of(past()), rows()); }
  // The position in the text of a row of a run that holds some of it.
  std::int64_t place_of(std::string_view run, std::int64_t row) const {
    const auto at = probes.at.find(run);
    return at == probes.at.end() ? row : at->second[static_cast<std::size_t>(row)];
  }
  // The row of a run that holds some of the text; -1: it does not hold that position.
  std::int64_t row_in(std::string_view name, std::int64_t place) const {
    const Logits* logits = run(name);
    for (std::int64_t r = 0; logits != nullptr && r < logits->rows(); ++r) {
      if (place_of(name, r) == place) return r;
    }
    return -1;
  }
  // Whether the recorded run is of that very call.
  bool recorded_so() const { return with.pieces.size() == 2 && with.pieces[0] == past(); }
  // The right logits in the wider format, of the probed call; none where they were not recorded.
  std::optional<Logits> wide_right() const {
    const Logits* whole = run("wide_without");
    if (whole == nullptr) return std::nullopt;
    return of_call(*whole, "wide_without");
  }
  // Uses of pasts may have been run in the wider format: what they are held against, and within what.
  bool uses_wide() const { return !probes.uses_format.empty() && wide_right().has_value(); }
  Logits right_of_uses() const { return uses_wide() ? *wide_right() : right(); }
  double bound_of_uses() const { return uses_wide() ? wide_noise : tolerance.bound; }
  // What was seen where the suppositions were made, and what should have come; null where that is not recorded.
  std::optional<std::pair<Logits, Logits>> supposed_for() const {
    const std::string& name = probes.supposed_for;
    const Logits* seen = run(name);
    if (seen == nullptr) return std::nullopt;
    if (!name.starts_with("wide")) return std::pair{*seen, right()};
    const std::optional<Logits> expected = wide_right();
    if (!expected) return std::nullopt;
    return std::pair{name == "wide_with" ? of_call(*seen, name) : *seen, *expected};
  }
  // What rounding explains there; `narrow`: of the recorded runs.
  double supposed_noise(double narrow) const { return probes.supposed_for.starts_with("wide") ? wide_noise : narrow; }
  // A past that was handed over says that it still holds what it held.
  bool claims_unchanged() const { return !probes.twice_lengths.empty() && probes.twice_lengths[0] == past(); }

  // The rows of the probed call in a run that holds those of the text, or the call's alone.
  Logits of_call(const Logits& all, std::string_view of) const {
    for (std::int64_t r = 0; r < all.rows(); ++r) {
      if (place_of(of, r) == past() && r + rows() <= all.rows()) return slice(all, r, rows());
    }
    return all;
  }
  static Logits slice(const Logits& all, std::int64_t first, std::int64_t rows) {
    const auto from = all.values.begin() + first * all.vocab;
    return {all.vocab, {from, from + rows * all.vocab}};
  }

 private:
  static const Logits* named(const std::map<std::string, Logits, std::less<>>& runs, std::string_view name) {
    const auto at = runs.find(name);
    return at == runs.end() ? nullptr : &at->second;
  }
};

// Of a recording that has probes.
Probed probed(const Runs& runs, const Recording& without_past, const Recording& with_past);

}  // namespace pkv::check
