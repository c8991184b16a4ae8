// The call that the probes of a recording repeat, and the runs of it by name. For the files that read probes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "checker/recorded/recorded.h"

namespace pkv::check {

inline constexpr std::int64_t most_probed_rows = 16;

inline std::int64_t probed_rows(const Recording& r) {
  return std::min(std::ssize(r.ids) - r.probes->past, most_probed_rows);
}

struct Probed {
  const Recording &without, &with;
  const Probes& probes;
  Tolerance tolerance;

  std::int64_t past() const { return probes.past; }
  std::int64_t rows() const { return probed_rows(with); }
  const Logits* run(std::string_view name) const { return named(probes.runs, name); }
  const Logits* suppose(std::string_view name) const { return named(probes.supposed, name); }
  const Logits* alone() const { return suppose("new-tokens-alone"); }
  const Logits* seen() const { return run("again"); }

  // Of the same tokens: without past, and as recorded first with it.
  Logits right() const { return slice(without.logits, past(), rows()); }
  Logits recorded() const { return slice(with.logits, past(), rows()); }
  // Whether the recorded run is of that very call.
  bool recorded_so() const { return with.pieces.size() == 2 && with.pieces[0] == past(); }
  // A past that was handed over says that it still holds what it held.
  bool claims_unchanged() const { return !probes.twice_lengths.empty() && probes.twice_lengths[0] == past(); }

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

}  // namespace pkv::check
