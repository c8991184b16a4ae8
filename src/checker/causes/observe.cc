#include "checker/causes/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/slices.h"
#include "checker/causes/cause.h"
#include "checker/causes/search.h"
#include "checker/compare/columns.h"
#include "checker/run/evidence.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

constexpr std::int64_t kMostRows = 16;  // new tokens of one observation
constexpr std::int64_t kShort = 4;      // tokens in the past of the first observation, and new ones
constexpr double kMuchMore = 8;         // times what moves without a past: more than chance makes of roundings

bool reads_past(const Supposition& s) { return cause_of(s.cause).reads_past; }

class LivingSearch {
 public:
  LivingSearch(const Setting& setting, const Runs& runs, const Inside& inside, const Symptoms& symptoms)
      : setting_(setting), runs_(runs), inside_(inside), symptoms_(symptoms) {
    setting_.on_fed = [this, &setting](std::int64_t tokens) {
      found_.explaining_feeds++;
      found_.explaining_tokens += tokens;
      setting.fed(tokens);
    };
    const double noise = runs.evidence.noise;
    search_.tolerance = {runs.subject.promises_same_bits && noise == 0, std::max(symptoms.bound, noise)};
    search_.none_kept = runs.evidence.exists.shown == Answer::no;
    search_.windows = runs.subject.windows;
    search_.simulate = [this](const Observation& o, std::span<const Supposition> what) { return simulate(o, what); };
  }
  LivingSearch(const LivingSearch&) = delete;
  LivingSearch& operator=(const LivingSearch&) = delete;

  Causes run() {
    const Evidence& e = runs_.evidence;
    const bool chance = e.noise > runs_.bound.value;  // which may look like anything
    if (!chance) {
      observe();
      Causes found = find_causes(search_);
      found_.causes = std::move(found.causes);
      found_.causes_tried = found.causes_tried;
      add_evidence();
    }
    if (e.control.shown == Answer::no && (runs_.subject.promises_same_bits || chance)) {
      found_.causes.insert(found_.causes.begin(), found_by(CauseId::not_deterministic, e.control.sentence));
    }
    keep_confirmed(found_);
    return std::move(found_);
  }

 private:
  void observe();
  void observe(std::int64_t past, std::int64_t rows, Method method = Method::pieces);
  void observe_another_text();
  void keep(Observation o);
  void add_evidence();
  void add_reuse(const Reuse& reuse);
  void add_likely(CauseId cause, std::string evidence);
  Logits last_of(Ids ids, std::int64_t rows);
  bool can_take(Ids ids);
  std::optional<Logits> simulate(const Observation& o, std::span<const Supposition> what);
  std::optional<Logits> compute(const Observation& o, std::span<const Supposition> what);
  std::optional<Logits> feed_instead(const Observation& o, const Cause::Texts& texts);

  Setting setting_;  // which also counts what the search costs
  const Runs& runs_;
  const Inside& inside_;
  const Symptoms& symptoms_;
  CauseSearch search_;
  Causes found_;
  std::vector<Observation> right_;  // calls that went right
  std::set<CauseId> computed_;      // causes whose logits could be had
};

// Of the text fed whole.
Logits LivingSearch::last_of(Ids ids, std::int64_t rows) {
  Logits logits = feed(setting_, *setting_.subject.fresh(), ids);
  const std::int64_t before = std::ssize(logits.values) - rows * logits.vocab;
  logits.values.erase(logits.values.begin(), logits.values.begin() + before);
  return logits;
}

// A short one first, since every cause is held against it; then others, that tell apart what it cannot.
void LivingSearch::observe() {
  const std::int64_t n = std::ssize(setting_.text.ids);
  if (symptoms_.in_pieces) {
    const std::int64_t first = inside_.parting ? inside_.parting->past : symptoms_.in_pieces->past;
    observe(std::min(std::max(first, kShort), n - 1), kShort);
    std::set<std::int64_t> splits{first, std::max<std::int64_t>(1, n / 3), std::max<std::int64_t>(1, 2 * n / 3), n - 1};
    for (const auto& place : {runs_.total.worst, runs_.total.first}) {
      if (place && place->past > 0 && place->past < n) splits.insert(place->past);
    }
    for (const std::int64_t past : splits) observe(past, kMostRows);
    if (inside_.parting) observe(first, inside_.parting->position - first + 1);
  } else if (runs_.reused) {
    observe(runs_.reused->place.past, n, runs_.reused->method);
  }
  if (runs_.evidence.used.shown == Answer::no && !search_.none_kept) observe_another_text();
  std::stable_sort(search_.observations.begin(), search_.observations.end(),
                   [](const Observation& a, const Observation& b) { return a.ids.size() < b.ids.size(); });
  if (search_.observations.empty() || right_.empty()) return;
  search_.observations.push_back(right_.front());
  if (right_.size() > 1) search_.observations.push_back(right_.back());
}

void LivingSearch::observe(std::int64_t past, std::int64_t rows, Method method) {
  rows = std::min(std::ssize(setting_.text.ids) - past, rows);
  const Ids ids = take(setting_.text.ids, past + rows);
  for (const Observation& o : search_.observations) {
    if (o.past == past && o.ids.size() == ids.size()) return;
  }
  const auto session = after_past(setting_, past, method);
  Observation o{.ids = {ids.begin(), ids.end()},
                .past = past,
                .right = {setting_.text.logits.vocab, {}},
                .faulty = feed(setting_, *session, drop(ids, past)),
                .method = method,
                .text = {setting_.text.ids.begin(), setting_.text.ids.end()},
                .other = {setting_.text.other.begin(), setting_.text.other.end()}};
  const auto from = setting_.text.logits.values.begin() + past * setting_.text.logits.vocab;
  o.right.values.assign(from, from + rows * setting_.text.logits.vocab);
  keep(std::move(o));
}

// The other text has been fed before, too. Does the system take one for the other?
void LivingSearch::observe_another_text() {
  for (const Influence& p : runs_.evidence.influences) {
    const auto rest = drop(setting_.text.ids, p.past);
    Observation o{.ids = {setting_.text.other.begin(), setting_.text.other.begin() + p.past},
                  .past = p.past,
                  .right = {},
                  .faulty = {},
                  .text = {setting_.text.ids.begin(), setting_.text.ids.end()},
                  .other = {setting_.text.ids.begin(), setting_.text.ids.end()}};
    const auto session = setting_.subject.fresh();
    session->skip(o.ids);
    setting_.fed(p.past);
    o.faulty = feed(setting_, *session, rest);
    o.ids.insert(o.ids.end(), rest.begin(), rest.end());
    o.right = last_of(o.ids, std::ssize(rest));
    keep(std::move(o));
  }
}

void LivingSearch::keep(Observation o) {
  const double apart = largest_distance(o.right, o.faulty);
  if (!std::isfinite(apart)) return;
  const bool wrong = apart > (search_.tolerance.same_bits ? 0 : search_.tolerance.bound);
  (wrong ? search_.observations : right_).push_back(std::move(o));
}

// A text longer than that of the check may be longer than the model's context.
bool LivingSearch::can_take(Ids ids) {
  try {
    setting_.subject.fresh()->skip(ids);
    setting_.fed(std::ssize(ids));
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<Logits> LivingSearch::simulate(const Observation& o, std::span<const Supposition> what) {
  auto logits = compute(o, what);
  if (logits && what.size() == 1) computed_.insert(what[0].cause);
  return logits;
}

std::optional<Logits> LivingSearch::compute(const Observation& o, std::span<const Supposition> what) {
  if (const auto texts_of = cause_of(what[0].cause).fed_instead) {
    return what.size() == 1 ? feed_instead(o, texts_of(o)) : std::nullopt;
  }
  Counterfactual* power = setting_.subject.counterfactual();
  const bool of_rewinds = std::ranges::any_of(what, [](const auto& s) { return cause_of(s.cause).of_rewinds; });
  if (power == nullptr || (of_rewinds ? !rewinds(o.method) : o.method != Method::pieces)) return std::nullopt;
  std::vector<Supposition> all(what.begin(), what.end());
  const std::vector<std::int32_t> fed = ever_fed(o.ids, o.other, o.past, o.method);
  for (Supposition& s : all) s.taken_back = drop(fed, o.past);
  auto logits = power->suppose(all, o.ids, o.past);
  if (logits) setting_.fed(std::ssize(o.ids));
  return logits;
}

// Of the first text that gives the faulty logits, or of the last.
std::optional<Logits> LivingSearch::feed_instead(const Observation& o, const Cause::Texts& texts) {
  std::optional<Logits> logits;
  for (const Ids ids : texts) {
    if (std::ssize(ids) > std::ssize(setting_.text.ids) && !can_take(ids)) return std::nullopt;
    logits = last_of(ids, o.faulty.rows());
    if (largest_distance(*logits, o.faulty) == 0) break;
  }
  return logits;
}

// A cause that other evidence than logits speaks for; not certain where its logits were computed, and are not those
// seen.
void LivingSearch::add_likely(CauseId cause, std::string evidence) {
  if (std::ranges::any_of(found_.causes, [&](const Explanation& e) { return e.is(cause); })) return;
  Explanation e = found_by(cause, std::move(evidence));
  if (computed_.contains(cause)) {
    e.evidence += "; but that alone gives other logits than these";
    e.confirmed = false, e.explained = 0;
  }
  found_.causes.push_back(std::move(e));
}

// A past that is used once, and alone, gives the right logits.
void LivingSearch::add_reuse(const Reuse& reuse) {
  if (reuse.method == Method::beside) {
    add_likely(CauseId::past_shared,
               "alone, a past gives the right logits; while another text's is alive, it does not");
  } else if (reuse.method == Method::batch) {
    if (!reuse.swapped) return;
    add_likely(CauseId::batch_rows_mixed,
               "alone, a past gives the right logits; fed together, one text gets those of the other");
  } else {
    add_likely(forks(reuse.method) ? CauseId::past_changed_in_place : CauseId::past_not_rewound,
               "a past that is used once gives the right logits; the same past used again does not");
  }
}

void LivingSearch::add_evidence() {
  const auto reproduced = [](const Explanation& x) { return x.confirmed && x.rows > 0; };
  if (!runs_.subject.breaks_law.empty() && std::ranges::none_of(found_.causes, reproduced)) {
    add_likely(CauseId::rows_not_independent, "the system says so itself");
  }
  if (!symptoms_.in_pieces && runs_.reused && std::ranges::none_of(found_.causes, reproduced)) {
    add_reuse(*runs_.reused);
  }
  const double ahead = first_pieces_of(runs_).max_abs;
  const bool told = !runs_.subject.breaks_law.empty() ||
                    std::ranges::any_of(
                        std::array{CauseId::prefix_seen_whole, CauseId::rows_not_independent, CauseId::rope_of_length},
                        [&](CauseId id) { return confirmed(found_, id); });
  if (ahead > runs_.bound.value && !told) {
    // A beginning that had no past is wrong, so a cause that lies in the past fits by chance: one row of a sharp
    // attention may well be that of another text.
    std::erase_if(found_.causes,
                  [](const Explanation& x) { return x.rows > 0 && std::ranges::all_of(x.what, reads_past); });
    if (runs_.causality.holds != Answer::no) return;  // the length of the call is what matters, not later tokens
    add_likely(CauseId::attends_both_ways,
               fmt::format("logits of a text's beginning, fed without a past, change by up to {} when more text "
                           "follows",
                           show::short_number(ahead)));
  }
}

}  // namespace

Causes explain(const Setting& setting, const Runs& runs, const Inside& inside, const Symptoms& symptoms) {
  return LivingSearch(setting, runs, inside, symptoms).run();
}

double moved_without_past(const Runs& runs) { return std::max(first_pieces_of(runs).max_abs, runs.evidence.noise); }

bool more_than_rounding_does(const Runs& runs) { return runs.total.max_abs > kMuchMore * moved_without_past(runs); }

Explanation explain_by_rounding(const Runs& runs) {
  Explanation e =
      found_by(CauseId::rounding,
               fmt::format("logits move by {} at most, without any past, in calls of other lengths, by {}; rounding "
                           "could explain {:.2g}",
                           show::short_number(runs.total.max_abs), show::short_number(moved_without_past(runs)),
                           runs.bound.value));
  e.confirmed = !more_than_rounding_does(runs);
  return e;
}

}  // namespace pkv::check
