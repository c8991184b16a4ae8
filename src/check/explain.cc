// How a cause is tried: what the system gave after a past at a few splits, against what the cause would have given.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "check/causes.h"
#include "check/columns.h"
#include "check/evidence.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;
using Kind = Cause::Kind;
using Shown = Finding::Shown;

constexpr std::int64_t kMostRows = 16;   // new tokens of one observation
constexpr double kLeastExplained = 0.5;  // a cause that explains less is not worth a reader's time
constexpr std::int64_t kAllCounts = 16;  // counts up to here are all tried
constexpr std::size_t kMostRanked = 3;

// One split at which the system went wrong: ids[past ..] got `faulty` and should have got `right`.
struct Observation {
  Ids ids;
  std::int64_t past;
  Logits right, faulty;
};

struct Fit {
  std::int64_t rows = 0, same_rows = 0;
  double off = 0, apart = 0;  // sums of squares: simulated to faulty, right to faulty
  double largest = 0;

  bool same() const { return rows > 0 && same_rows == rows; }
  double explained() const { return apart > 0 ? 1 - std::sqrt(off / apart) : 0; }
};

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

void add(Fit& fit, const Observation& o, const Logits& simulated) {
  for (std::int64_t r = 0; r < o.faulty.rows(); ++r) {
    fit.rows++;
    fit.same_rows += same_bits(o.faulty.row(r), simulated.row(r)) ? 1 : 0;
  }
  for (std::size_t i = 0; i < o.faulty.values.size(); ++i) {
    const double off = double{o.faulty.values[i]} - simulated.values[i];
    const double apart = double{o.faulty.values[i]} - o.right.values[i];
    if (!std::isfinite(off) || !std::isfinite(apart)) continue;
    fit.off += off * off;
    fit.apart += apart * apart;
    fit.largest = std::max(fit.largest, std::abs(off));
  }
}

class Explain {
 public:
  Explain(Report& report, Subject& subject, Ids ids, const Logits& right)
      : report_(report), subject_(subject), ids_(ids), right_(right) {}

  void run() {
    observe();
    if (!observations_.empty()) {
      for (const Cause& c : all_causes()) try_one(c);
    }
    add_evidence();
    if (!any_confirmed()) try_pairs();
    rank();
  }

 private:
  bool absent() const { return report_.evidence.exists.shown == Shown::no; }
  bool any_confirmed() const {
    return std::any_of(report_.causes.begin(), report_.causes.end(), [](const Explanation& e) { return e.confirmed; });
  }
  void add_evidence();
  void found(std::string_view name, std::string evidence);
  void observe();
  void observe(std::int64_t past);
  std::optional<Logits> simulate(const Observation& o, std::span<const Supposition> what);
  std::optional<Fit> fit(std::span<const Supposition> what, std::size_t observations);
  void try_one(const Cause& cause);
  void try_counts(const Cause& cause);
  void try_pairs();
  void keep(std::span<const Supposition> what, const Fit& fit);
  std::string evidence(const Fit& fit, bool confirmed) const;
  void rank();

  Report& report_;
  Subject& subject_;
  Ids ids_;
  const Logits& right_;
  std::vector<Observation> observations_;
};

void Explain::found(std::string_view name, std::string evidence) {
  const Cause& c = cause_of_name(name);
  report_.causes.push_back({.cause = std::string(c.name),
                            .statement = std::string(c.statement),
                            .look_at = std::string(c.look_at),
                            .reference = std::string(c.reference),
                            .evidence = std::move(evidence),
                            .confirmed = true,
                            .explained = 1});
}

void Explain::add_evidence() {
  if (report_.evidence.control.shown == Shown::no) found("not-deterministic", report_.evidence.control.sentence);
  if (!report_.subject.breaks_law.empty()) found("rows-not-independent", "the system says so itself");
  const auto parts = std::find_if(report_.results.begin(), report_.results.end(),
                                  [](const Result& r) { return r.name == first_parts; });
  if (parts != report_.results.end() && parts->difference.max_abs > report_.bound.value &&
      report_.evidence.control.shown != Shown::no) {
    found("attends-both-ways", fmt::format("logits of a text's beginning, fed without a past, change by up to {} when "
                                           "more text follows",
                                           short_number(parts->difference.max_abs)));
  }
}

void Explain::observe() {
  const std::int64_t n = std::ssize(ids_);
  std::set<std::int64_t> splits{std::max<std::int64_t>(1, n / 3), std::max<std::int64_t>(1, 2 * n / 3), n - 1};
  for (const auto& place : {report_.total.worst, report_.total.first}) {
    if (place && place->past > 0 && place->past < n) splits.insert(place->past);
  }
  for (const std::int64_t past : splits) observe(past);
}

void Explain::observe(std::int64_t past) {
  const std::int64_t rows = std::min(std::ssize(ids_) - past, kMostRows);
  const Ids ids = ids_.first(static_cast<std::size_t>(past + rows));
  const auto session = subject_.fresh();
  session->skip(ids.first(static_cast<std::size_t>(past)));
  Observation o{ids, past, {right_.vocab, {}}, session->feed(ids.subspan(static_cast<std::size_t>(past)))};
  const auto from = right_.values.begin() + past * right_.vocab;
  o.right.values.assign(from, from + rows * right_.vocab);
  const double apart = largest_distance(o.right, o.faulty);
  if (apart == 0 || !std::isfinite(apart)) return;
  if (!report_.subject.promises_same_bits && apart <= report_.bound.value) return;
  observations_.push_back(std::move(o));
}

std::optional<Logits> Explain::simulate(const Observation& o, std::span<const Supposition> what) {
  if (what.size() == 1 && cause_of_name(what[0].cause).kind == Kind::alone) {
    return subject_.fresh()->feed(o.ids.subspan(static_cast<std::size_t>(o.past)));
  }
  Counterfactual* power = subject_.counterfactual();
  if (power == nullptr) return std::nullopt;
  return power->suppose(what, o.ids, o.past);
}

// Over the first `observations` of them; none when it cannot be simulated.
std::optional<Fit> Explain::fit(std::span<const Supposition> what, std::size_t observations) {
  Fit sum;
  for (std::size_t i = 0; i < std::min(observations, observations_.size()); ++i) {
    const auto simulated = simulate(observations_[i], what);
    if (!simulated || simulated->values.size() != observations_[i].faulty.values.size()) return std::nullopt;
    add(sum, observations_[i], *simulated);
  }
  return sum;
}

void Explain::try_one(const Cause& cause) {
  if (cause.kind == Kind::evidence) return;
  if (cause.kind == Kind::counted) return try_counts(cause);
  if (cause.name == "past-absent" && !absent()) return;
  if (cause.name != "past-absent" && absent()) return;  // what is not kept cannot be misread
  const Supposition what{std::string(cause.name)};
  if (const auto f = fit({&what, 1}, observations_.size())) keep({&what, 1}, *f);
}

// Only where nothing else is confirmed: there are many to try. Small numbers, powers of two and their neighbours, and
// the whole length less one: where windows end. The longest past tells most of them apart.
void Explain::try_counts(const Cause& cause) {
  if (absent() || any_confirmed() || subject_.counterfactual() == nullptr) return;
  const std::int64_t longest = std::ssize(observations_.back().ids) - 1;
  std::set<std::int64_t> counts;
  for (std::int64_t n = 1; n <= std::min(kAllCounts, longest); ++n) counts.insert(n);
  for (std::int64_t n = 2 * kAllCounts; n <= longest + 1; n *= 2) counts.insert({n - 1, n, std::min(n + 1, longest)});
  if (longest > 0) counts.insert(longest);
  std::optional<Fit> best;
  Supposition chosen{std::string(cause.name)};
  for (const std::int64_t n : counts) {
    const Supposition what{chosen.cause, n};
    const auto f = fit({&what, 1}, observations_.size());
    if (f && (!best || f->off < best->off)) best = f, chosen = what;
    if (f && f->same()) break;
  }
  if (best) keep({&chosen, 1}, *best);
}

void Explain::try_pairs() {
  if (absent() || observations_.empty() || subject_.counterfactual() == nullptr) return;
  const auto causes = all_causes();
  for (const Cause& a : causes) {
    for (const Cause& b : causes) {
      if (a.part == 0 || b.part <= a.part) continue;
      const Supposition both[]{{std::string(a.name)}, {std::string(b.name)}};
      if (const auto f = fit(both, observations_.size())) keep(both, *f);
    }
  }
}

std::string Explain::evidence(const Fit& f, bool confirmed) const {
  if (f.same()) return fmt::format("reproduces {} of {} rows of logits bit for bit", f.same_rows, f.rows);
  if (confirmed) {
    return fmt::format("reproduces {} of logits within {:.2g}; rounding could explain {:.2g}", counted(f.rows, "row"),
                       f.largest, report_.bound.value);
  }
  const std::string some =
      f.same_rows > 0 ? fmt::format(", and reproduces {} of {} rows of logits bit for bit", f.same_rows, f.rows) : "";
  return fmt::format("explains {:.0f} % of the difference{}", 100 * f.explained(), some);
}

void Explain::keep(std::span<const Supposition> what, const Fit& f) {
  report_.causes_tried++;
  const bool within = !report_.subject.promises_same_bits && f.largest <= report_.bound.value;
  const bool confirmed = f.same() || within;
  if (!confirmed && f.explained() < kLeastExplained) return;
  Explanation e{.evidence = evidence(f, confirmed),
                .confirmed = confirmed,
                .rows = f.rows,
                .same_rows = f.same_rows,
                .explained = f.explained()};
  for (const Supposition& s : what) {
    const Cause& c = cause_of_name(s.cause);
    const std::string count = s.count > 0 ? fmt::format(" ({})", s.count) : "";
    const bool more = !e.cause.empty();
    e.cause += (more ? " + " : "") + s.cause;
    e.statement += (more ? "; besides, " : "") + std::string(c.statement) + count;
    e.look_at += (more ? "; " : "") + std::string(c.look_at);
    e.reference += (e.reference.empty() || c.reference.empty() ? "" : "; ") + std::string(c.reference);
  }
  report_.causes.push_back(std::move(e));
}

// What is confirmed stands in the list's order; of the others the best few follow only where nothing is.
void Explain::rank() {
  auto& all = report_.causes;
  const auto end = std::stable_partition(all.begin(), all.end(), [](const Explanation& e) { return e.confirmed; });
  if (end != all.begin()) {
    all.erase(end, all.end());
    return;
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Explanation& a, const Explanation& b) { return a.explained > b.explained; });
  if (all.size() > kMostRanked) all.resize(kMostRanked);
}

}  // namespace

std::string unknown_cause(const Report& report) {
  return fmt::format("unknown: none of {} tried explains half of the difference",
                     counted(report.causes_tried, "cause"));
}

void explain(Report& report, Subject& subject, Ids ids, const Logits& right) {
  Explain(report, subject, ids, right).run();
}

}  // namespace pkv::check
