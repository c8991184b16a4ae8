#include "checker/measure/result.h"

#include <algorithm>

namespace pkv::measure {

std::vector<double> Curve::medians() const {
  std::vector<double> all;
  for (const Samples& s : seconds) all.push_back(median_of(s));
  return all;
}

std::optional<std::int64_t> Generation::passes(double times) const {
  const auto slow = filled(without_past.positions, without_past.medians(), new_tokens);
  const auto fast = filled(with_past.positions, with_past.medians(), new_tokens);
  return measure::passes(slow, fast, times);
}

std::string_view name_of(Reuse::Way way) {
  constexpr std::string_view kNames[] = {"recomputed", "in memory", "page cache", "disk"};
  return kNames[way];
}

std::optional<std::int64_t> worth_from(const std::vector<Reuse>& reuse, Reuse::Way way) {
  std::optional<std::int64_t> from;
  for (const Reuse& r : reuse) {
    if (r.seconds[way].empty()) continue;
    if (median_of(r.seconds[way]) >= median_of(r.seconds[Reuse::recomputed])) {
      from.reset();
    } else if (!from) {
      from = r.prefix;
    }
  }
  return from;
}

std::optional<double> disk_rate(const std::vector<Reuse>& reuse) {
  if (reuse.empty() || reuse.back().seconds[Reuse::disk].empty()) return std::nullopt;
  const Reuse& r = reuse.back();
  const double longer = median_of(r.seconds[Reuse::disk]) - median_of(r.seconds[Reuse::page_cache]);
  if (longer <= 0) return std::nullopt;
  return static_cast<double>(r.saved_bytes) / longer;
}

const Generation* longest_generation(const Result& r) {
  const auto shorter = [](const Generation& a, const Generation& b) { return a.depth + a.prompt < b.depth + b.prompt; };
  const auto at = std::max_element(r.generation.begin(), r.generation.end(), shorter);
  return at == r.generation.end() ? nullptr : &*at;
}

}  // namespace pkv::measure
