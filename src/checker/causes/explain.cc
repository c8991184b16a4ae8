// How a cause is tried: what was seen after a past, against what the cause would have given. The cheapest observation
// comes first, and what does not reproduce it is not tried on the others.
#include "checker/causes/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "checker/causes/causes.h"
#include "checker/compare/columns.h"
#include "checker/compare/compare.h"

namespace pkv::check {
namespace {

constexpr double kLeastExplained = 0.5;  // a cause that explains less is not worth a reader's time
constexpr std::int64_t kAllCounts = 16;  // numbers up to here are all tried
constexpr std::size_t kMostRanked = 3;
constexpr std::size_t kRankedInFull = 5;  // that many of the best are held against all observations
constexpr std::int64_t kMostPairs = 400;  // all there are, mostly
constexpr std::size_t kPairsWithAllCounts = 3;

using What = std::vector<Supposition>;

struct Fit {
  std::int64_t rows = 0, same_rows = 0;
  double off = 0, apart = 0;  // sums of squares: simulated to faulty, right to faulty
  double largest = 0;

  bool same() const { return rows > 0 && same_rows == rows; }
  double explained() const { return apart > 0 ? 1 - std::sqrt(off / apart) : 0; }
};

void add(Fit& fit, const Observation& o, const Logits& simulated) {
  for (std::int64_t r = 0; r < o.faulty.rows(); ++r) {
    fit.rows++;
    fit.same_rows += equal_bits(o.faulty.row(r), simulated.row(r)) ? 1 : 0;
  }
  for (std::size_t i = 0; i < o.faulty.values.size(); ++i) {
    const float faulty = o.faulty.values[i], found = simulated.values[i];
    const bool same = faulty == found || (std::isnan(faulty) && std::isnan(found));
    const double off = same ? 0 : double{faulty} - found, apart = double{faulty} - o.right.values[i];
    if (!std::isfinite(off)) {  // infinite, or a number for none: explains nothing
      fit.off = fit.largest = std::numeric_limits<double>::infinity();
      continue;
    }
    if (!std::isfinite(apart)) continue;
    fit.off += off * off;
    fit.apart += apart * apart;
    fit.largest = std::max(fit.largest, std::abs(off));
  }
}

class Find {
 public:
  explicit Find(const Search& search) : search_(search) {}

  Found run() {
    if (search_.observations.empty() || !search_.simulate) return {};
    for (const Cause& c : all_causes()) {
      if (c.kind != Cause::Kind::evidence && c.least_count == 0) try_one({{std::string(c.name)}});
    }
    if (found_.causes.empty()) try_counts();
    if (found_.causes.empty()) try_pairs();
    if (found_.causes.empty()) rank();
    return std::move(found_);
  }

 private:
  struct Partial {
    What what;
    double explained;  // of the observations up to the first that it does not reproduce
  };

  static bool explains_less(const Partial& a, const Partial& b) { return a.explained < b.explained; }
  static void sort_by_share(std::vector<Partial>& some) {
    std::stable_sort(some.begin(), some.end(),
                     [](const Partial& a, const Partial& b) { return a.explained > b.explained; });
  }
  bool reproduces(const Fit& f) const {
    if (f.same()) return true;
    return !search_.tolerance.same_bits && f.largest <= search_.tolerance.bound && f.explained() >= kLeastExplained;
  }
  bool may_be(const Cause& c) const { return search_.past_absent == (c.name == "past-absent"); }
  bool add_simulated(Fit& fit, const Observation& o, const What& what) const;
  void try_one(const What& what);
  void try_counts();
  std::vector<std::int64_t> counts(const Cause& cause) const;
  void try_pairs();
  void try_pair_counts(What what);
  void rank();
  void keep(const What& what, const Fit& fit, bool confirmed);

  const Search& search_;
  Found found_;
  std::vector<Partial> partial_;
};

// False where the cause has no meaning or cannot be simulated.
bool Find::add_simulated(Fit& fit, const Observation& o, const What& what) const {
  const auto simulated = search_.simulate(o, what);
  const bool comparable =
      simulated && simulated->vocab == o.faulty.vocab && simulated->values.size() == o.faulty.values.size();
  if (!comparable) return false;
  add(fit, o, *simulated);
  return true;
}

void Find::try_one(const What& what) {
  for (const Supposition& s : what) {
    if (!may_be(cause_of_name(s.cause))) return;
  }
  Fit fit;
  for (const Observation& o : search_.observations) {
    const bool first = fit.rows == 0;
    if (!add_simulated(fit, o, what)) continue;
    if (first) found_.tried++;
    if (reproduces(fit)) continue;
    partial_.push_back({what, fit.explained()});
    return;
  }
  if (fit.rows > 0) keep(what, fit, true);
}

// Small numbers, powers of two and their neighbours, where windows end; and those that the first observation suggests:
// what ends exactly at its past, and what ends exactly at its last token.
std::vector<std::int64_t> Find::counts(const Cause& cause) const {
  const auto& o = search_.observations.front();
  std::int64_t longest = 0;
  for (const Observation& each : search_.observations) longest = std::max(longest, std::ssize(each.ids));
  std::set<std::int64_t> all;
  for (std::int64_t n = 1; n <= kAllCounts; ++n) all.insert(n);
  for (std::int64_t n = 2 * kAllCounts; n <= longest + 1; n *= 2) all.insert({n - 1, n, n + 1});
  for (std::int64_t d = -2; d <= 2; ++d) all.insert({o.past + d, std::ssize(o.ids) + d, longest + d});
  std::vector<std::int64_t> useful;
  for (const std::int64_t n : all) {
    if (n >= cause.least_count && n <= longest) useful.push_back(n);
  }
  return useful;
}

// One number of each cause stays for pairs and ranks: the best.
void Find::try_counts() {
  for (const Cause& c : all_causes()) {
    if (c.kind == Cause::Kind::evidence || c.least_count == 0 || !may_be(c)) continue;
    std::vector<Partial> others = std::exchange(partial_, {});
    const std::int64_t tried = found_.tried;
    for (const std::int64_t n : counts(c)) {
      try_one({{std::string(c.name), n}});
      if (!found_.causes.empty()) break;
    }
    found_.tried = std::min(found_.tried, tried + 1);  // a cause, whatever its number
    const auto best = std::max_element(partial_.begin(), partial_.end(), explains_less);
    if (best != partial_.end()) others.push_back(*best);
    partial_ = std::move(others);
  }
}

// The likeliest first: those whose halves explain most. The number that is best for one cause alone need not be the
// right one beside another, so the best pairs are tried with all.
void Find::try_pairs() {
  std::vector<Partial> pairs;
  for (const Partial& a : partial_) {
    for (const Partial& b : partial_) {
      const int part = cause_of_name(a.what[0].cause).part, other = cause_of_name(b.what[0].cause).part;
      if (part > 0 && part < other) pairs.push_back({{a.what[0], b.what[0]}, a.explained + b.explained});
    }
  }
  sort_by_share(pairs);
  if (std::ssize(pairs) > kMostPairs) pairs.resize(kMostPairs);
  std::vector<Partial> singles = std::exchange(partial_, {});
  for (const Partial& p : pairs) {
    try_one(p.what);
    if (!found_.causes.empty()) return;
  }
  sort_by_share(partial_);
  pairs = partial_;
  std::erase_if(pairs, [](const Partial& p) { return p.what[0].count == 0 && p.what[1].count == 0; });
  if (pairs.size() > kPairsWithAllCounts) pairs.resize(kPairsWithAllCounts);
  for (const Partial& p : pairs) try_pair_counts(p.what);
  partial_.insert(partial_.end(), singles.begin(), singles.end());
}

// Of two numbers the second is tried beside the best of the first.
void Find::try_pair_counts(What what) {
  const std::int64_t tried = found_.tried;
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (what[i].count == 0) continue;
    const auto before = std::ssize(partial_);
    for (const std::int64_t n : counts(cause_of_name(what[i].cause))) {
      what[i].count = n;
      if (found_.causes.empty()) try_one(what);
    }
    const auto best = std::max_element(partial_.begin() + before, partial_.end(), explains_less);
    if (best != partial_.end()) what[i].count = best->what[i].count;
  }
  found_.tried = tried;  // the pair has been counted before
}

void Find::rank() {
  sort_by_share(partial_);
  if (partial_.size() > kRankedInFull) partial_.resize(kRankedInFull);
  for (const Partial& p : partial_) {
    Fit fit;
    for (const Observation& o : search_.observations) add_simulated(fit, o, p.what);
    if (fit.explained() >= kLeastExplained) keep(p.what, fit, false);
  }
  auto& all = found_.causes;
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.explained > b.explained; });
  if (all.size() > kMostRanked) all.resize(kMostRanked);
}

std::string evidence_of(const Fit& f, bool confirmed, double bound) {
  if (f.same()) return fmt::format("reproduces {} of {} rows of logits bit for bit", f.same_rows, f.rows);
  if (confirmed) {
    return fmt::format("reproduces {} of logits within {:.2g}; rounding could explain {:.2g}",
                       show::counted(f.rows, "row"), f.largest, bound);
  }
  const std::string some =
      f.same_rows > 0 ? fmt::format(", and reproduces {} of {} rows of logits bit for bit", f.same_rows, f.rows) : "";
  return fmt::format("explains {:.0f} % of the difference{}", 100 * f.explained(), some);
}

void Find::keep(const What& what, const Fit& f, bool confirmed) {
  Explanation e{.evidence = evidence_of(f, confirmed, search_.tolerance.bound),
                .confirmed = confirmed,
                .rows = f.rows,
                .same_rows = f.same_rows,
                .explained = f.explained()};
  for (const Supposition& s : what) {
    const Cause& c = cause_of_name(s.cause);
    const std::string count = s.count > 0 ? fmt::format(", N = {}", s.count) : "";
    const bool more = !e.cause.empty();
    e.cause += (more ? " + " : "") + s.cause;
    e.statement += (more ? "; besides, " : "") + std::string(c.statement) + count;
    const bool known = e.look_at.find(c.look_at) != std::string::npos;
    if (!known) e.look_at += (more ? "; " : "") + std::string(c.look_at);
    if (e.reference.find(c.reference) != std::string::npos) continue;
    e.reference += (e.reference.empty() ? "" : "; ") + std::string(c.reference);
  }
  found_.causes.push_back(std::move(e));
}

}  // namespace

Found find_causes(const Search& search) { return Find(search).run(); }

}  // namespace pkv::check
