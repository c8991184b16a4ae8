// How a cause is tried: what was seen after a past, against what the cause would have given. The cheapest observation
// comes first, and what does not reproduce it is not tried on the others.
#include "checker/causes/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "checker/causes/cause.h"
#include "checker/compare/columns.h"
#include "checker/compare/compare.h"

namespace pkv::check {
namespace {

constexpr double kLeastExplained = 0.5;  // a cause that explains less is not worth a reader's time
// Where bits need not be the same: what reproduces explains at least so much, and leaves at most twice as much open as
// whatever leaves least.
constexpr double kReproduces = 0.8, kAsGood = 2;
constexpr double kNothing = 1.1;         // the same of a guess: times as much open without a half that explains nothing
constexpr std::int64_t kAllCounts = 16;  // numbers up to here are all tried
constexpr std::size_t kMostRanked = 3;
constexpr std::size_t kRankedInFull = 5;  // that many of the best are held against all observations
constexpr std::int64_t kMostPairs = 400;  // all there are, mostly
constexpr std::size_t kPairsWithAllCounts = 16;

using Suppositions = std::vector<Supposition>;

struct Reproduction {
  std::int64_t rows = 0, same_rows = 0;
  double off = 0, apart = 0;  // sums of squares: simulated to faulty, right to faulty
  double largest = 0;

  bool same() const { return rows > 0 && same_rows == rows; }
  double explained() const { return apart > 0 ? 1 - std::sqrt(off / apart) : 0; }
  double open() const { return 1 - explained(); }
};

void add(Reproduction& sum, const Observation& o, const Logits& simulated) {
  for (std::int64_t r = 0; r < o.faulty.rows(); ++r) {
    sum.rows++;
    sum.same_rows += equal_bits(o.faulty.row(r), simulated.row(r)) ? 1 : 0;
  }
  for (std::size_t i = 0; i < o.faulty.values.size(); ++i) {
    const float faulty = o.faulty.values[i], found = simulated.values[i];
    const bool same = faulty == found || (std::isnan(faulty) && std::isnan(found));
    const double off = same ? 0 : double{faulty} - found, apart = double{faulty} - o.right.values[i];
    if (!std::isfinite(off)) {  // infinite, or a number for none: explains nothing
      sum.off = sum.largest = std::numeric_limits<double>::infinity();
      continue;
    }
    if (!std::isfinite(apart)) continue;
    sum.off += off * off;
    sum.apart += apart * apart;
    sum.largest = std::max(sum.largest, std::abs(off));
  }
}

bool within(const Tolerance& tolerance, std::span<const float> a, std::span<const float> b) {
  if (tolerance.same_bits) return equal_bits(a, b);
  return std::ranges::equal(a, b, [&](float x, float y) { return std::abs(x - y) <= tolerance.bound; });
}

class Finder {
 public:
  explicit Finder(const CauseSearch& search) : search_(search) {}

  Causes run() {
    if (search_.observations.empty() || !search_.simulate) return {};
    for (const Cause& c : all_causes()) {
      if (c.simulated() && !c.has_number()) try_one({{c.id}});
    }
    keep_the_nearest();
    if (found_.causes.empty()) try_counts();
    if (found_.causes.empty()) try_pairs();
    if (found_.causes.empty()) rank();
    return std::move(found_);
  }

 private:
  struct Candidate {
    Suppositions what;
    double explained;  // of the observations up to the first that it does not reproduce
  };

  static bool explains_less(const Candidate& a, const Candidate& b) { return a.explained < b.explained; }
  static void sort_by_share(std::vector<Candidate>& some) {
    std::stable_sort(some.begin(), some.end(),
                     [](const Candidate& a, const Candidate& b) { return a.explained > b.explained; });
  }
  bool reproduces(const Reproduction& r) const {
    if (r.same()) return true;
    return !search_.tolerance.same_bits && r.largest <= search_.tolerance.bound && r.explained() >= kReproduces;
  }
  bool may_be(const Cause& c) const { return search_.none_kept == c.where_none_kept; }
  bool add_simulated(Reproduction& sum, const Observation& o, const Suppositions& what) const;
  Reproduction in_full(const Suppositions& what) const;
  std::optional<Supposition> half_as_good(const Suppositions& what, const Reproduction& of_both, double as_good) const;
  void try_one(const Suppositions& what);
  void keep_the_nearest();
  void try_counts();
  void keep_the_best_number(CauseId id);
  std::vector<std::int64_t> counts(const Cause& cause) const;
  void add_first_missed(const Cause& cause, std::set<std::int64_t>& numbers) const;
  void try_pairs();
  void try_pair_counts(Suppositions what);
  void rank();
  void keep(const Suppositions& what, const Reproduction& rit, bool confirmed);

  const CauseSearch& search_;
  Causes found_;
  std::vector<Candidate> candidates_;
};

// False where the cause has no meaning or cannot be simulated.
bool Finder::add_simulated(Reproduction& sum, const Observation& o, const Suppositions& what) const {
  const auto simulated = search_.simulate(o, what);
  const bool comparable =
      simulated && simulated->vocab == o.faulty.vocab && simulated->values.size() == o.faulty.values.size();
  if (!comparable) return false;
  add(sum, o, *simulated);
  return true;
}

void Finder::try_one(const Suppositions& what) {
  for (const Supposition& s : what) {
    if (!may_be(cause_of(s.cause))) return;
  }
  Reproduction sum;
  for (const Observation& o : search_.observations) {
    const bool first = sum.rows == 0;
    if (!add_simulated(sum, o, what)) continue;
    if (first) found_.causes_tried++;
    if (reproduces(sum)) continue;
    candidates_.push_back({what, sum.explained()});
    return;
  }
  if (sum.rows == 0) return;
  half_as_good(what, sum, kAsGood) ? candidates_.push_back({what, sum.explained()}) : keep(what, sum, true);
}

Reproduction Finder::in_full(const Suppositions& what) const {
  Reproduction sum;
  for (const Observation& o : search_.observations) add_simulated(sum, o, what);
  return sum;
}

// Of a pair: the half that leaves no more than so many times as much open as both do; then the other explains nothing.
std::optional<Supposition> Finder::half_as_good(const Suppositions& what, const Reproduction& of_both,
                                                double as_good) const {
  if (what.size() < 2 || of_both.same()) return std::nullopt;
  for (const Supposition& half : what) {
    const Reproduction alone = in_full({half});
    if (alone.rows > 0 && alone.open() <= as_good * of_both.open()) return half;
  }
  return std::nullopt;
}

// Of several that rounding does not tell apart from what was seen, those that are about as near to it as the nearest.
void Finder::keep_the_nearest() {
  double least = std::numeric_limits<double>::infinity();
  for (const Explanation& e : found_.causes) least = std::min(least, e.same_rows == e.rows ? 0 : 1 - e.explained);
  std::erase_if(found_.causes,
                [&](const Explanation& e) { return e.same_rows != e.rows && 1 - e.explained > kAsGood * least; });
}

// Small numbers, powers of two and their neighbours, where windows end; and those that the first observation suggests:
// what ends exactly at its past, and what ends exactly at its last token.
std::vector<std::int64_t> Finder::counts(const Cause& cause) const {
  if (search_.numbers) return search_.numbers(cause.id);
  const auto& o = search_.observations.front();
  std::int64_t longest = 0;
  for (const Observation& each : search_.observations) longest = std::max(longest, std::ssize(each.ids));
  std::set<std::int64_t> all;
  for (std::int64_t n = 1; n <= kAllCounts; ++n) all.insert(n);
  for (std::int64_t n = 2 * kAllCounts; n <= longest + 1; n *= 2) all.insert({n - 1, n, n + 1});
  for (std::int64_t d = -2; d <= 2; ++d) all.insert({o.past + d, std::ssize(o.ids) + d, longest + d});
  for (const std::int64_t w : search_.windows) all.insert({w - 1, w, w + 1, 2 * w});
  if (cause.number.last_keys) add_first_missed(cause, all);
  std::vector<std::int64_t> useful;
  for (const std::int64_t n : all) {
    if (n >= cause.number.least && n <= longest) useful.push_back(n);
  }
  return useful;
}

// If all keys were seen, the first row that is not as it was seen would have missed one.
void Finder::add_first_missed(const Cause& cause, std::set<std::int64_t>& numbers) const {
  for (const Observation& o : search_.observations) {
    const auto all_seen = search_.simulate(o, std::array{Supposition{cause.id, std::ssize(o.ids)}});
    if (!all_seen || all_seen->values.size() != o.faulty.values.size()) continue;
    for (std::int64_t r = 0; r < o.faulty.rows(); ++r) {
      if (within(search_.tolerance, all_seen->row(r), o.faulty.row(r))) continue;
      numbers.insert(o.past + r);
      break;
    }
  }
}

// Of several numbers of a cause that all fit, the one that fits best.
void Finder::keep_the_best_number(CauseId id) {
  auto& all = found_.causes;
  const auto best =
      std::ranges::max_element(all, {}, [&](const Explanation& e) { return e.is(id) ? e.explained : -1e9; });
  if (best == all.end() || !best->is(id)) return;
  const std::int64_t number = best->what[0].count;
  std::erase_if(all, [&](const Explanation& e) { return e.is(id) && e.what[0].count != number; });
}

// One number of each cause stays for pairs and ranks: the best.
void Finder::try_counts() {
  for (const Cause& c : all_causes()) {
    if (!c.simulated() || !c.has_number() || !may_be(c)) continue;
    std::vector<Candidate> others = std::exchange(candidates_, {});
    const std::int64_t tried = found_.causes_tried;
    for (const std::int64_t n : counts(c)) {
      try_one({{c.id, n}});
      if (std::ranges::any_of(found_.causes, [](const Explanation& e) { return e.same_rows == e.rows; })) break;
    }
    keep_the_best_number(c.id);
    found_.causes_tried = std::min(found_.causes_tried, tried + 1);  // a cause, whatever its number
    const auto best = std::max_element(candidates_.begin(), candidates_.end(), explains_less);
    if (best != candidates_.end()) others.push_back(*best);
    candidates_ = std::move(others);
  }
  keep_the_nearest();
}

// The likeliest first: those whose halves explain most. The number that is best for one cause alone need not be the
// right one beside another, so the best pairs are tried with all.
void Finder::try_pairs() {
  std::vector<Candidate> pairs;
  for (const Candidate& a : candidates_) {
    for (const Candidate& b : candidates_) {
      const Group group = cause_of(a.what[0].cause).group, other = cause_of(b.what[0].cause).group;
      if (group != Group::alone && group < other) pairs.push_back({{a.what[0], b.what[0]}, a.explained + b.explained});
    }
  }
  sort_by_share(pairs);
  if (std::ssize(pairs) > kMostPairs) pairs.resize(kMostPairs);
  std::vector<Candidate> singles = std::exchange(candidates_, {});
  for (const Candidate& p : pairs) {
    try_one(p.what);
    if (!found_.causes.empty()) return;
  }
  sort_by_share(candidates_);
  pairs = candidates_;
  std::erase_if(pairs, [](const Candidate& p) { return p.what[0].count == 0 && p.what[1].count == 0; });
  if (pairs.size() > kPairsWithAllCounts) pairs.resize(kPairsWithAllCounts);
  for (const Candidate& p : pairs) try_pair_counts(p.what);
  candidates_.insert(candidates_.end(), singles.begin(), singles.end());
}

// Of two numbers the second is tried beside the best of the first.
void Finder::try_pair_counts(Suppositions what) {
  const std::int64_t tried = found_.causes_tried;
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (what[i].count == 0) continue;
    const auto before = std::ssize(candidates_);
    for (const std::int64_t n : counts(cause_of(what[i].cause))) {
      what[i].count = n;
      if (found_.causes.empty()) try_one(what);
    }
    const auto best = std::max_element(candidates_.begin() + before, candidates_.end(), explains_less);
    if (best != candidates_.end()) what[i].count = best->what[i].count;
  }
  found_.causes_tried = tried;  // the pair has been counted before
}

void Finder::rank() {
  sort_by_share(candidates_);
  if (candidates_.size() > kRankedInFull) candidates_.resize(kRankedInFull);
  for (Candidate& p : candidates_) {
    Reproduction sum = in_full(p.what);
    if (const auto half = half_as_good(p.what, sum, kNothing)) p.what = {*half}, sum = in_full(p.what);
    const std::string name = explanation_of(p.what).cause;
    const bool told = std::ranges::any_of(found_.causes, [&](const Explanation& e) { return e.cause == name; });
    if (sum.explained() >= kLeastExplained && !told) keep(p.what, sum, false);
  }
  auto& all = found_.causes;
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.explained > b.explained; });
  if (all.size() > kMostRanked) all.resize(kMostRanked);
}

std::string evidence_of(const Reproduction& r, bool confirmed, double bound) {
  if (r.same()) return fmt::format("reproduces {} of {} rows of logits bit for bit", r.same_rows, r.rows);
  if (confirmed) {
    return fmt::format("reproduces {} of logits within {:.2g}; rounding could explain {:.2g}",
                       show::counted(r.rows, "row"), r.largest, bound);
  }
  const std::string some =
      r.same_rows > 0 ? fmt::format(", and reproduces {} of {} rows of logits bit for bit", r.same_rows, r.rows) : "";
  return fmt::format("explains {:.0f} % of the difference{}", 100 * r.explained(), some);
}

void Finder::keep(const Suppositions& what, const Reproduction& r, bool confirmed) {
  Explanation e = explanation_of(what);
  e.evidence = evidence_of(r, confirmed, search_.tolerance.bound);
  e.confirmed = confirmed;
  e.rows = r.rows;
  e.same_rows = r.same_rows;
  e.explained = r.explained();
  found_.causes.push_back(std::move(e));
}

}  // namespace

Causes find_causes(const CauseSearch& search) { return Finder(search).run(); }

}  // namespace pkv::check
