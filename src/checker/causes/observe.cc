// The causes of a living system's difference: a few of its wrong calls are observed again, and simulations are asked
// for.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "checker/causes/causes.h"
#include "checker/causes/explain.h"
#include "checker/compare/columns.h"
#include "checker/run/evidence.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;
using Shown = Finding::Shown;

constexpr std::int64_t kMostRows = 16;  // new tokens of one observation
constexpr std::int64_t kShort = 4;      // tokens in the past of the first observation, and new ones
constexpr double kMuchMore = 8;         // times what moves without a past: more than chance makes of roundings

class Observe {
 public:
  Observe(Report& report, Subject& subject, const Wrong& wrong, const Fed& fed)
      : report_(report), subject_(subject), whole_(wrong.whole), wrong_(wrong) {
    fed_ = [this, &fed](std::int64_t tokens) {
      report_.explaining_feeds++;
      report_.explaining_tokens += tokens;
      if (fed) fed(tokens);
    };
    const double noise = report.evidence.noise;
    search_.tolerance = {report.subject.promises_same_bits && noise == 0, std::max(wrong.bound, noise)};
    search_.past_absent = report.evidence.exists.shown == Shown::no;
    search_.simulate = [this](const Observation& o, std::span<const Supposition> what) { return simulate(o, what); };
  }

  void run() {
    if (report_.evidence.noise <= report_.bound.value) {  // otherwise chance would have to be reproduced
      observe();
      Found found = find_causes(search_);
      report_.causes = std::move(found.causes);
      report_.causes_tried = found.tried;
    }
    add_evidence();
    keep_confirmed(report_);
  }

 private:
  void observe();
  void observe(std::int64_t past, std::int64_t rows, Method method = Method::pieces);
  void observe_another_text();
  void keep(Observation o);
  void add_evidence();
  void add_likely(std::string_view cause, std::string evidence);
  Logits feed(Session& session, Ids ids);
  Logits last_of(Ids ids, std::int64_t rows);
  bool can_take(Ids ids);
  std::optional<Logits> simulate(const Observation& o, std::span<const Supposition> what);
  std::optional<Logits> compute(const Observation& o, std::span<const Supposition> what);

  Report& report_;
  Subject& subject_;
  const Whole& whole_;
  const Wrong& wrong_;
  Fed fed_;  // also counts what the search costs
  Search search_;
  std::vector<Observation> right_;               // calls that went right
  std::set<std::string, std::less<>> computed_;  // causes whose logits could be had
};

Logits Observe::feed(Session& session, Ids ids) {
  Logits logits = check::feed(session, ids, whole_.logits.vocab, report_.subject.name);
  fed_(std::ssize(ids));
  return logits;
}

// Of the text fed whole.
Logits Observe::last_of(Ids ids, std::int64_t rows) {
  Logits logits = feed(*subject_.fresh(), ids);
  const std::int64_t before = std::ssize(logits.values) - rows * logits.vocab;
  logits.values.erase(logits.values.begin(), logits.values.begin() + before);
  return logits;
}

// A short one first, since every cause is held against it; then others, that tell apart what it cannot.
void Observe::observe() {
  const std::int64_t n = std::ssize(whole_.ids);
  if (wrong_.in_pieces) {
    const std::int64_t first = report_.parting ? report_.parting->past : wrong_.in_pieces->past;
    observe(std::min(std::max(first, kShort), n - 1), kShort);
    std::set<std::int64_t> splits{first, std::max<std::int64_t>(1, n / 3), std::max<std::int64_t>(1, 2 * n / 3), n - 1};
    for (const auto& place : {report_.total.worst, report_.total.first}) {
      if (place && place->past > 0 && place->past < n) splits.insert(place->past);
    }
    for (const std::int64_t past : splits) observe(past, kMostRows);
    if (report_.parting) observe(first, report_.parting->position - first + 1);
  } else if (wrong_.reused) {
    observe(wrong_.reused->second.past, n, wrong_.reused->first);
  }
  if (report_.evidence.used.shown == Shown::no && !search_.past_absent) observe_another_text();
  std::stable_sort(search_.observations.begin(), search_.observations.end(),
                   [](const Observation& a, const Observation& b) { return a.ids.size() < b.ids.size(); });
  if (search_.observations.empty() || right_.empty()) return;
  search_.observations.push_back(right_.front());
  if (right_.size() > 1) search_.observations.push_back(right_.back());
}

void Observe::observe(std::int64_t past, std::int64_t rows, Method method) {
  rows = std::min(std::ssize(whole_.ids) - past, rows);
  const Ids ids = whole_.ids.first(static_cast<std::size_t>(past + rows));
  for (const Observation& o : search_.observations) {
    if (o.past == past && o.ids.size() == ids.size()) return;
  }
  const auto session = after_past(subject_, whole_.ids, whole_.other, past, method, fed_);
  Observation o{.ids = {ids.begin(), ids.end()},
                .past = past,
                .right = {whole_.logits.vocab, {}},
                .faulty = feed(*session, ids.subspan(static_cast<std::size_t>(past))),
                .method = method,
                .other = {whole_.other.begin(), whole_.other.end()}};
  const auto from = whole_.logits.values.begin() + past * whole_.logits.vocab;
  o.right.values.assign(from, from + rows * whole_.logits.vocab);
  keep(std::move(o));
}

// The other text has been fed before, too. Does the system take one for the other?
void Observe::observe_another_text() {
  for (const Probe& p : report_.evidence.probes) {
    const auto rest = whole_.ids.subspan(static_cast<std::size_t>(p.past));
    Observation o{.ids = {whole_.other.begin(), whole_.other.begin() + p.past},
                  .past = p.past,
                  .right = {},
                  .faulty = {},
                  .other = {whole_.ids.begin(), whole_.ids.end()}};
    const auto session = subject_.fresh();
    session->skip(o.ids);
    fed_(p.past);
    o.faulty = feed(*session, rest);
    o.ids.insert(o.ids.end(), rest.begin(), rest.end());
    o.right = last_of(o.ids, std::ssize(rest));
    keep(std::move(o));
  }
}

void Observe::keep(Observation o) {
  const double apart = largest_distance(o.right, o.faulty);
  if (!std::isfinite(apart)) return;
  const bool wrong = apart > (search_.tolerance.same_bits ? 0 : search_.tolerance.bound);
  (wrong ? search_.observations : right_).push_back(std::move(o));
}

// What any system can be fed; none where it says nothing of this observation.
std::optional<std::vector<std::int32_t>> fed_instead(const Observation& o, const Supposition& s) {
  const auto past = o.ids.begin() + o.past;
  std::vector<std::int32_t> all;
  if (s.cause == "past-absent" || s.cause == "new-tokens-alone") {
    if (o.method != Method::pieces) return std::nullopt;
  } else if (s.cause == "past-of-another-text") {
    all.assign(o.other.begin(), o.other.begin() + o.past);
  } else if (s.cause == "past-changed-in-place" || s.cause == "past-not-rewound") {
    const bool forked = o.method == Method::fork_same || o.method == Method::fork_other;
    if (o.method == Method::pieces || forked != (s.cause == "past-changed-in-place")) return std::nullopt;
    all = ever_fed(o.ids, o.other, o.past, o.method);
    if (s.count > 0) all.resize(std::min(all.size(), static_cast<std::size_t>(o.past + s.count)));
  } else {
    return std::nullopt;
  }
  all.insert(all.end(), past, o.ids.end());
  return all;
}

// A text longer than that of the check may be longer than the model's context.
bool Observe::can_take(Ids ids) {
  try {
    subject_.fresh()->skip(ids);
    fed_(std::ssize(ids));
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<Logits> Observe::simulate(const Observation& o, std::span<const Supposition> what) {
  auto logits = compute(o, what);
  if (logits && what.size() == 1) computed_.insert(what[0].cause);
  return logits;
}

std::optional<Logits> Observe::compute(const Observation& o, std::span<const Supposition> what) {
  if (cause_of_name(what[0].cause).kind == Cause::Kind::fed) {
    auto ids = what.size() == 1 ? fed_instead(o, what[0]) : std::nullopt;
    if (!ids) return std::nullopt;
    if (std::ssize(*ids) > std::ssize(whole_.ids) && !can_take(*ids)) return std::nullopt;
    const bool another = what[0].cause == "past-of-another-text";
    if (another && largest_distance(o.right, o.faulty) == 0) return std::nullopt;  // not every text is mistaken
    Logits logits = last_of(*ids, o.faulty.rows());
    if (!another || largest_distance(logits, o.faulty) == 0) return logits;
    // The text's end has been fed alone, too.
    std::copy_n(whole_.ids.end() - o.past, o.past, ids->begin());
    return last_of(*ids, o.faulty.rows());
  }
  Counterfactual* power = subject_.counterfactual();
  if (power == nullptr || o.method != Method::pieces) return std::nullopt;
  auto logits = power->suppose(what, o.ids, o.past);
  if (logits) fed_(std::ssize(o.ids));
  return logits;
}

// A cause that other evidence than logits speaks for; not certain where its logits were computed, and are not those
// seen.
void Observe::add_likely(std::string_view cause, std::string evidence) {
  if (std::ranges::any_of(report_.causes, [&](const Explanation& e) { return e.cause == cause; })) return;
  Explanation e = explanation_of(cause, std::move(evidence));
  if (computed_.contains(cause)) {
    e.evidence += "; but that alone gives other logits than these";
    e.confirmed = false, e.explained = 0;
  }
  report_.causes.push_back(std::move(e));
}

void Observe::add_evidence() {
  const Evidence& e = report_.evidence;
  const bool changes = e.control.shown == Shown::no;
  if (changes && (report_.subject.promises_same_bits || e.noise > report_.bound.value)) {
    add_found(report_, "not-deterministic", e.control.sentence);
  }
  const auto reproduced = [](const Explanation& x) { return x.confirmed && x.rows > 0; };
  if (!report_.subject.breaks_law.empty() && std::ranges::none_of(report_.causes, reproduced)) {
    add_likely("rows-not-independent", "the system says so itself");
  }
  if (!wrong_.in_pieces && wrong_.reused) {
    const bool forked = wrong_.reused->first == Method::fork_same || wrong_.reused->first == Method::fork_other;
    add_likely(forked ? "past-changed-in-place" : "past-not-rewound",
               "a past that is used once gives the right logits; the same past used again does not");
  }
  const double ahead = first_parts_of(report_).max_abs;
  const bool told = confirmed(report_, "prefix-seen-whole") || confirmed(report_, "rows-not-independent") ||
                    !report_.subject.breaks_law.empty();
  if (ahead > report_.bound.value && !changes && !told) {
    // A beginning that had no past is wrong, so a cause that lies in the past fits by chance: one row of a sharp
    // attention may well be that of another text.
    std::erase_if(report_.causes, [](const Explanation& x) {
      const bool two = x.cause.find(" + ") != std::string::npos;  // of the past's, both
      return x.rows > 0 && (two || cause_of_name(x.cause).reads_past);
    });
    add_found(report_, "attends-both-ways",
              fmt::format("logits of a text's beginning, fed without a past, change by up to {} when "
                          "more text follows",
                          short_number(ahead)));
  }
}

}  // namespace

std::string unknown_cause(const Report& report) {
  return fmt::format("unknown: none of {} tried explains half of the difference",
                     counted(report.causes_tried, "cause"));
}

std::string cost_of_explaining(const Report& report) {
  if (report.explaining_feeds == 0) return counted(report.causes_tried, "cause") + " tried, as recorded";
  return fmt::format("{} tried with {} of {}", counted(report.causes_tried, "cause"),
                     counted(report.explaining_feeds, "feed"), counted(report.explaining_tokens, "token"));
}

void explain(Report& report, Subject& subject, const Wrong& wrong, const Fed& fed) {
  Observe(report, subject, wrong, fed).run();
}

double moved_without_past(const Report& report) {
  return std::max(first_parts_of(report).max_abs, report.evidence.noise);
}

bool more_than_rounding_does(const Report& report) {
  return report.total.max_abs > kMuchMore * moved_without_past(report);
}

void name_rounding(Report& report) {
  const bool more = more_than_rounding_does(report);
  Explanation e = explanation_of(
      "rounding",
      fmt::format("logits move by {} at most, without any past, in calls of other lengths, by {}; rounding "
                  "could explain {:.2g}",
                  short_number(report.total.max_abs), short_number(moved_without_past(report)), report.bound.value));
  e.confirmed = !more;
  report.causes.push_back(std::move(e));
}

}  // namespace pkv::check
