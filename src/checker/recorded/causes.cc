// The causes of a recorded difference: simulations that were recorded are held against what was seen, as those of a
// living system are; what no simulation can show is read off the other probes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checker/causes/cause.h"
#include "checker/causes/search.h"
#include "checker/compare/columns.h"
#include "checker/recorded/probed.h"
#include "checker/recorded/probes.h"
#include "checker/recorded/uses.h"
#include "checker/run/evidence.h"

namespace pkv::check {
namespace {

// A fault stays as large in a wider format; roundings shrink by 2^13 from fp16 to fp32, and more from others.
constexpr double kShrinks = 64;

std::string_view recorded_name(const Cause& cause) {
  return cause.recorded.suppose.empty() ? cause.name : cause.recorded.suppose;
}

std::string count_of(std::int64_t count) { return count > 0 ? fmt::format("={}", count) : ""; }

class RecordedSearch {
 public:
  RecordedSearch(const Runs& runs, const Probed& probed) : runs_(runs), p_(probed) {}

  Causes run() {
    search();
    add_evidence();
    if (!certain()) add_masks_from_changes();
    keep_confirmed(found_);
    return std::move(found_);
  }

 private:
  double bound() const { return p_.tolerance.bound; }
  bool certain() const {
    return std::any_of(found_.causes.begin(), found_.causes.end(), [](const Explanation& e) { return e.confirmed; });
  }
  bool near_right(std::string_view run) const {
    const Logits* logits = p_.run(run);
    return logits != nullptr && largest_distance(*logits, p_.right()) <= bound();
  }
  void search();
  void observe(CauseSearch& search, const Logits& faulty) const;
  void observe(CauseSearch& search, const Logits& faulty, const Logits& right, double noise) const;
  std::optional<Logits> simulate(std::span<const Supposition> what) const;
  bool honoured(const Cause& cause) const;
  void found(CauseId id, std::string evidence) { add_found(found_, id, std::move(evidence)); }
  void add_evidence();
  void add_rounding_of_past();
  void add_masks_from_changes();

  const Runs& runs_;
  const Probed& p_;
  Causes found_;
};

void RecordedSearch::observe(CauseSearch& search, const Logits& faulty) const {
  observe(search, faulty, p_.right(), bound());
}

void RecordedSearch::observe(CauseSearch& search, const Logits& faulty, const Logits& right, double noise) const {
  Observation o{.ids = {p_.with.ids.begin(), p_.with.ids.begin() + p_.past() + p_.rows()},
                .past = p_.past(),
                .right = right,
                .faulty = faulty,
                .other = {}};
  const double apart = largest_distance(o.right, o.faulty);
  if (!std::isfinite(apart) || apart <= noise) return;
  search.observations.push_back(std::move(o));
}

void RecordedSearch::search() {
  CauseSearch search;
  search.tolerance = {false, std::max(bound(), runs_.evidence.noise)};
  search.none_kept = runs_.evidence.exists.shown == Answer::no;
  search.simulate = [this](const Observation&, std::span<const Supposition> what) { return simulate(what); };
  if (const auto supposed = p_.supposed_for()) {  // there alone the simulations are the program's own arithmetic
    const auto& [faulty, right] = *supposed;
    const double noise = p_.supposed_noise(bound());
    search.tolerance.bound = noise;
    observe(search, faulty, right, noise);
    found_ = find_causes(search);
    return;
  }
  if (p_.recorded_so()) observe(search, p_.recorded());
  if (p_.seen() != nullptr && (!p_.recorded_so() || p_.seen()->values != p_.recorded().values)) {
    observe(search, *p_.seen());
  }
  found_ = find_causes(search);
}

// Whether the model takes masks and positions from its caller: the right ones must give the right logits.
bool RecordedSearch::honoured(const Cause& cause) const {
  return cause.recorded.honoured.empty() || near_right(cause.recorded.honoured);
}

std::optional<Logits> RecordedSearch::simulate(std::span<const Supposition> what) const {
  std::string name;
  for (const Supposition& s : what) {
    const Cause& cause = cause_of(s.cause);
    if (!honoured(cause)) return std::nullopt;
    name += (name.empty() ? "" : "+") + std::string(recorded_name(cause)) + count_of(s.count);
  }
  const Logits* logits = p_.suppose(name);
  return logits == nullptr ? std::nullopt : std::optional(*logits);
}

void RecordedSearch::add_evidence() {
  const Evidence& e = runs_.evidence;
  const bool changes = e.control.shown == Answer::no && e.noise > bound();
  if (changes) found(CauseId::not_deterministic, e.control.sentence);
  if (runs_.causality.holds == Answer::no) found(CauseId::attends_both_ways, runs_.causality.sentence);
  const Logits* batched = p_.run("batched");
  const double apart = batched == nullptr ? 0 : largest_distance(*batched, p_.right());
  if (apart > bound() && !changes) {
    found(CauseId::rows_not_independent,
          fmt::format("fed without a past beside another text, this one's logits move by up to {}",
                      show::short_number(apart)));
  }
  const Logits* twice = p_.run("twice");
  if (twice != nullptr && p_.claims_unchanged() && near_right("again") &&
      largest_distance(*twice, p_.right()) > bound()) {
    found(CauseId::past_changed_in_place,
          "handed over once, the past gives the right logits; the second time it does not");
  }
  add_causes_of_uses(found_, p_);
  if (auto rounding = recorded_rounding(runs_, p_.with)) found_.causes.push_back(std::move(*rounding));
  if (!certain()) add_rounding_of_past();
}

// A past in a narrower format than the values between operations, which alone could explain as much.
void RecordedSearch::add_rounding_of_past() {
  const std::string past = p_.with.description.past_format;
  if (past != "fp16" && past != "bf16") return;
  Description narrow = p_.with.description;
  narrow.values_format = past;
  const double could = rounding_bound(narrow, runs_.bound.largest_logit).value;
  if (could <= bound() || runs_.total.max_abs > could) return;
  found(past == "fp16" ? CauseId::past_in_fp16 : CauseId::past_in_bf16,
        fmt::format("the past was kept in {}, whose rounding could explain {:.2g}; logits move by {}", past, could,
                    show::short_number(runs_.total.max_abs)));
}

// Which tokens of the past, changed one at a time, a new token notices.
struct NoticedTokens {
  std::vector<std::int64_t> matter, seen;  // noticed without the past; of those, noticed with it
  std::int64_t unseen_before = 0;          // tokens up to the last one that is not seen

  // The seen are the last of those that matter.
  bool end_only() const {
    return !seen.empty() && seen.size() < matter.size() && std::equal(seen.rbegin(), seen.rend(), matter.rbegin());
  }
};

NoticedTokens noticed(const Probed& p, std::int64_t row) {
  NoticedTokens n;
  const Logits right = p.right();
  const auto moved = [&](const Logits& a, const Logits& b) {
    return largest_distance(Probed::slice(a, row, 1), Probed::slice(b, row, 1)) > p.tolerance.bound;
  };
  for (std::int64_t i = 0; i < p.past(); ++i) {
    const Logits *with = p.run(fmt::format("changed.{}", i)), *whole = p.run(fmt::format("changed_whole.{}", i));
    if (with == nullptr || whole == nullptr || p.seen() == nullptr || !moved(*whole, right)) continue;
    n.matter.push_back(i);
    if (moved(*with, *p.seen()))
      n.seen.push_back(i);
    else
      n.unseen_before = i + 1;
  }
  return n;
}

// What each would do to the first and the last of the new tokens: of one new token alone, a window and first keys that
// are dropped are the same.
void RecordedSearch::add_masks_from_changes() {
  const NoticedTokens first = noticed(p_, 0), last = noticed(p_, p_.rows() - 1);
  const std::string of = fmt::format("of {} of the past, changed one at a time, a new token notices ",
                                     show::counted(std::ssize(first.matter), "token"));
  const std::string rest = "; without a past it notices every one";
  if (first.matter.empty() || first.seen.size() == first.matter.size()) return;
  if (first.seen.empty()) return found(CauseId::past_ignored, of + "none" + rest);
  if (first.seen == std::vector<std::int64_t>{0}) return found(CauseId::top_left_mask, of + "the first only" + rest);
  if (!first.end_only()) return;
  const std::string from = of + fmt::format("none before token {}", first.unseen_before) + rest;
  if (p_.rows() == 1 || last.unseen_before == first.unseen_before) found(CauseId::first_dropped, from);
  if (p_.rows() == 1 || last.unseen_before > first.unseen_before) found(CauseId::window, from);
}

}  // namespace

Causes explain_recorded(const Runs& runs, const Recording& without, const Recording& with) {
  if (!with.probes) return {};
  const Probed probed{without, with, *with.probes, runs.tolerance()};
  return RecordedSearch(runs, probed).run();
}

std::optional<Explanation> recorded_rounding(const Runs& r, const Recording& with) {
  if (!with.probes) return std::nullopt;
  const auto& runs = with.probes->runs;
  const auto right = runs.find("wide_without"), other = runs.find("wide_with");
  if (right == runs.end() || other == runs.end()) return std::nullopt;
  const double apart = largest_distance(right->second, other->second);
  if (!std::isfinite(apart) || r.total.max_abs == 0 || apart * kShrinks > r.total.max_abs) return std::nullopt;
  return found_by(
      CauseId::rounding,
      fmt::format("in {} the same two runs are {} apart, in {} {}", with.probes->wide_format, show::short_number(apart),
                  values_precision(with.description).name, show::short_number(r.total.max_abs)));
}

}  // namespace pkv::check
