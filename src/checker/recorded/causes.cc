// The causes of a recorded difference: simulations that were recorded are held against what was seen, as those of a
// living system are; what no simulation can show is read off the other probes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "checker/causes/cause.h"
#include "checker/causes/search.h"
#include "checker/compare/columns.h"
#include "checker/recorded/probed.h"
#include "checker/recorded/probes.h"
#include "checker/recorded/uses.h"
#include "checker/run/evidence.h"

namespace pkv::check {
namespace {

// What moves logits without a past explains what moves them with one, where that is no more than a few times as much.
constexpr double kComparable = 4;

std::string_view recorded_name(const Cause& cause) {
  return cause.recorded.suppose.empty() ? cause.name : cause.recorded.suppose;
}

std::string count_of(std::int64_t count) { return count > 0 ? fmt::format("={}", count) : ""; }

// What is named here was simulated and is what was seen (search), or is read off runs that speak of nothing else
// (add_evidence). Anything else is a guess, and not certain. Whatever was simulated, heeded by the program and not seen
// is out.
class RecordedSearch {
 public:
  RecordedSearch(const Runs& runs, const Probed& probed)
      : runs_(runs), p_(probed), supposed_for_(probed.supposed_for()) {}

  Causes run() {
    const Evidence& e = runs_.evidence;
    if (e.control.shown == Answer::no && e.noise > bound()) {  // chance may look like anything
      add_found(found_, CauseId::not_deterministic, e.control.sentence);
      return std::move(found_);
    }
    search();
    add_evidence();
    if (!certain()) add_guesses();
    keep_confirmed(found_);
    return std::move(found_);
  }

 private:
  double bound() const { return p_.tolerance.bound; }
  bool certain() const {
    return std::any_of(found_.causes.begin(), found_.causes.end(), [](const Explanation& e) { return e.confirmed; });
  }
  bool reproduced() const {
    return std::any_of(found_.causes.begin(), found_.causes.end(),
                       [](const Explanation& e) { return e.confirmed && e.rows > 0; });
  }
  bool near_right(std::string_view run) const {
    const Logits* logits = p_.run(run);
    return logits != nullptr && near(*logits, p_.right());
  }
  bool near(const Logits& a, const Logits& b) const { return largest_distance(a, b) <= bound(); }
  double moved_in_a_batch() const {
    const Logits* batched = p_.run("batched");
    return batched == nullptr ? 0 : largest_distance(*batched, p_.right_of_uses());
  }
  bool moves_in_a_batch() const { return moved_in_a_batch() > p_.bound_of_uses(); }
  void search();
  void keep_what_is_true_of_both();
  void doubt_what_is_not_told_apart();
  void observe(CauseSearch& search, const Logits& faulty) const;
  void observe(CauseSearch& search, const Logits& faulty, const Logits& right, double noise) const;
  std::optional<Logits> simulate(std::span<const Supposition> what) const;
  std::vector<std::int64_t> numbers(CauseId id) const;
  bool honoured(const Cause& cause) const;
  // Of simulations, which may be of another run than the recorded one.
  Logits supposed_right() const { return supposed_for_ ? supposed_for_->second : p_.right(); }
  double supposed_bound() const { return supposed_for_ ? p_.supposed_noise(bound()) : bound(); }
  bool heeded(const Logits& supposed) const { return largest_distance(supposed, supposed_right()) > supposed_bound(); }
  bool masks_heeded() const;
  bool refuted(CauseId id, std::int64_t least, std::int64_t most) const;
  void found(CauseId id, std::string evidence) { add_found(found_, id, std::move(evidence)); }
  void guess(CauseId id, std::string evidence);
  void add_evidence();
  void add_looking_ahead();
  void add_neighbours();
  void add_second_use();
  void add_chance_with_a_past();
  void add_calls_of_one_and_two();
  void add_guesses();
  void add_rounding_of_past();
  void add_masks_from_changes();

  const Runs& runs_;
  const Probed& p_;
  std::optional<std::pair<Logits, Logits>> supposed_for_;  // where simulations are of another run: seen, and right
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
  search.numbers = [this](CauseId id) { return numbers(id); };
  if (supposed_for_) {  // there alone the simulations are the program's own arithmetic
    search.tolerance.bound = supposed_bound();
    observe(search, supposed_for_->first, supposed_for_->second, supposed_bound());
  } else {
    if (p_.recorded_so()) observe(search, p_.recorded());
    if (p_.seen() != nullptr && (!p_.recorded_so() || p_.seen()->values != p_.recorded().values)) {
      observe(search, *p_.seen());
    }
  }
  found_ = find_causes(search);
  found_.causes_tried = std::max(found_.causes_tried, std::ssize(p_.probes.tried));
  keep_what_is_true_of_both();
  doubt_what_is_not_told_apart();
}

// Of one new token whose position is relative, a past that is not seen and a token that is a text of its own are the
// same: the past is ignored in both.
void RecordedSearch::keep_what_is_true_of_both() {
  if (!confirmed(found_, CauseId::past_ignored)) return;
  std::erase_if(found_.causes, [](const Explanation& e) { return e.is(CauseId::new_tokens_alone); });
}

// Of one new token alone, a window and first keys that are dropped are the same. A living system would be fed more.
void RecordedSearch::doubt_what_is_not_told_apart() {
  auto& all = found_.causes;
  if (std::ranges::count_if(all, [](const Explanation& e) { return e.confirmed; }) < 2) return;
  for (Explanation& e : all) {
    std::string others;
    for (const Explanation& other : all) {
      if (&other != &e) others += (others.empty() ? "" : ", ") + other.cause;
    }
    e.confirmed = false;
    e.evidence += "; so does " + others + ", which this call does not tell from it";
  }
}

// Those that any supposition gives the cause.
std::vector<std::int64_t> RecordedSearch::numbers(CauseId id) const {
  const std::string start = std::string(recorded_name(cause_of(id))) + "=";
  std::set<std::int64_t> all;
  for (const auto& [name, logits] : p_.probes.supposed) {
    for (std::size_t at = name.find(start); at != name.npos; at = name.find(start, at + 1)) {
      std::int64_t number = 0;
      std::from_chars(name.data() + at + start.size(), name.data() + name.size(), number);
      if ((at == 0 || name[at - 1] == '+') && number >= cause_of(id).number.least) all.insert(number);
    }
  }
  return {all.begin(), all.end()};
}

// Whether the model takes masks and positions from its caller: the right ones must give the right logits.
bool RecordedSearch::honoured(const Cause& cause) const {
  if (cause.recorded.honoured.empty()) return true;
  const Logits* right = p_.run(cause.recorded.honoured);
  return right != nullptr && !heeded(*right);
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

// Whether the program makes anything of a mask that it is handed. One that ignores it gives the right logits for every
// mask, the right one too.
bool RecordedSearch::masks_heeded() const {
  return honoured(cause_of(CauseId::past_ignored)) && std::ranges::any_of(p_.probes.supposed, [&](const auto& s) {
           const Cause* cause = find_cause(std::string_view(s.first).substr(0, s.first.find('=')));
           return cause != nullptr && cause->group == Group::mask && heeded(s.second);
         });
}

// Whether the cause, with each of these numbers if it has one, was simulated and is not what was seen. What reproduces
// it was found before; of what does not, some may be in the file by name alone.
bool RecordedSearch::refuted(CauseId id, std::int64_t least, std::int64_t most) const {
  const Cause& cause = cause_of(id);
  if (!honoured(cause)) return false;
  const std::string name(recorded_name(cause));
  if (std::ranges::find(p_.probes.tried, name) != p_.probes.tried.end()) return masks_heeded();
  for (std::int64_t n = least; n <= most; ++n) {
    const Logits* logits = p_.suppose(name + count_of(n));
    if (logits == nullptr || !heeded(*logits)) return false;
  }
  return true;
}

void RecordedSearch::guess(CauseId id, std::string evidence) {
  if (std::ranges::any_of(found_.causes, [&](const Explanation& e) { return e.is(id); })) return;
  Explanation e = found_by(id, std::move(evidence));
  e.confirmed = false, e.explained = 0;
  found_.causes.push_back(std::move(e));
}

void RecordedSearch::add_evidence() {
  add_looking_ahead();
  add_neighbours();
  add_second_use();
  add_causes_of_uses(found_, p_);
  add_chance_with_a_past();
  add_calls_of_one_and_two();
}

// Logits before a changed token move. That is attention to later tokens where a mask that hides them changes what the
// model gives, and is not where such a mask is heeded and changes nothing. Of a model that takes no mask, a neighbour
// in the batch, which attention does not see, must not matter, nor numbers of 8 bits, whose scales may be the call's.
void RecordedSearch::add_looking_ahead() {
  if (runs_.causality.holds != Answer::no || moves_in_a_batch() || masks_heeded()) return;
  const Logits* ignored = p_.suppose(cause_of(CauseId::past_ignored).name);
  const bool masked = p_.run("right_mask") != nullptr, stays = honoured(cause_of(CauseId::past_ignored));
  const bool takes_none = !masked || (ignored != nullptr && !heeded(*ignored));
  const bool floats = find_precision(p_.with.description.format) != nullptr && p_.run("batched") != nullptr;
  const bool sure = (masked && !stays) || (takes_none && floats);
  sure ? found(CauseId::attends_both_ways, runs_.causality.sentence)
       : guess(CauseId::attends_both_ways, runs_.causality.sentence);
}

// That rows depend on their neighbours is certain. That this is why the past fails is so where it moves logits as much.
void RecordedSearch::add_neighbours() {
  const double apart = moved_in_a_batch();
  if (!moves_in_a_batch()) return;
  const std::string evidence = fmt::format("fed without a past beside another text, this one's logits move by up to {}",
                                           show::short_number(apart));
  const double without_past = std::max({apart, first_pieces_of(runs_).max_abs, runs_.causality.moved});
  const bool enough = runs_.total.max_abs <= kComparable * without_past && !reproduced();
  enough ? found(CauseId::rows_not_independent, evidence) : guess(CauseId::rows_not_independent, evidence);
}

// The past itself says that it was not changed.
void RecordedSearch::add_second_use() {
  const Logits* twice = p_.run("twice");
  if (twice == nullptr || !p_.claims_unchanged() || !near_right("again") || near(*twice, p_.right())) return;
  const std::string evidence = "handed over once, the past gives the right logits; the second time it does not";
  const Logits* all_of_it = p_.suppose(cause_of(CauseId::past_changed_in_place).name);
  if (all_of_it == nullptr || near(*all_of_it, *twice)) return found(CauseId::past_changed_in_place, evidence);
  guess(CauseId::past_changed_in_place, evidence + "; but with all that was fed in it, it would give others");
}

// Two equal calls with a past, neither right, and other than each other. What was fed before them was not the same, and
// a program may keep some of that. Chance it is where the same was fed before.
void RecordedSearch::add_chance_with_a_past() {
  if (runs_.evidence.repeats.shown != Answer::no || reproduced()) return;
  if (p_.seen() == nullptr || near(*p_.seen(), p_.right()) || near(p_.recorded(), p_.right())) return;
  const Logits* alike = p_.run("again_alike");
  if (alike != nullptr && near(*alike, *p_.seen())) return;
  const std::string evidence =
      "only with a past: " + runs_.evidence.repeats.sentence + "; without one, the same run twice gives the same";
  if (alike == nullptr) return guess(CauseId::not_deterministic, evidence + "; what was fed before was not the same");
  found(CauseId::not_deterministic, evidence + ". Nor are they the same where the same was fed before");
}

// A token fed alone, and the same with the next one, after the same past: which of the two calls goes wrong.
void RecordedSearch::add_calls_of_one_and_two() {
  const Logits* all = p_.run("one_and_two");
  const std::int64_t at = p_.probes.one_and_two_at;
  if (all == nullptr || at < 0 || reproduced() || runs_.evidence.repeats.shown == Answer::no) return;
  const bool wide = p_.probes.supposed_for.starts_with("wide");
  const double bound = supposed_bound();
  const auto right_at = [&](std::int64_t place) -> std::optional<Logits> {
    if (!wide) {
      const std::int64_t row = p_.without.row_of(place);
      return row < 0 ? std::nullopt : std::optional(Probed::slice(p_.without.logits, row, 1));
    }
    const std::int64_t row = p_.row_in("wide_without", place);
    return row < 0 ? std::nullopt : std::optional(Probed::slice(*p_.run("wide_without"), row, 1));
  };
  const auto first = right_at(at), second = right_at(at + 1);
  if (!first || !second) return;
  const auto off = [&](std::int64_t row, const Logits& right) {
    return !(largest_distance(Probed::slice(*all, row, 1), right) <= bound);
  };
  const bool alone = off(0, *first), in_two = off(1, *first) || off(2, *second);
  if (alone == in_two) return;
  found(
      alone ? CauseId::one_token_call : CauseId::several_token_call,
      fmt::format("after a past of {} the next token gets {} logits fed alone and {} ones fed with another in one call",
                  show::counted(at, "token"), alone ? "wrong" : "the right", alone ? "the right" : "wrong"));
}

void RecordedSearch::add_guesses() {
  add_masks_from_changes();
  add_rounding_of_past();
}

// A past in a narrower format than the values between operations, which alone could explain as much, as other faults
// of that size could.
void RecordedSearch::add_rounding_of_past() {
  const std::string past = p_.with.description.past_format;
  if (past != "fp16" && past != "bf16") return;
  const CauseId id = past == "fp16" ? CauseId::past_in_fp16 : CauseId::past_in_bf16;
  Description narrow = p_.with.description;
  narrow.values_format = past;
  const double could = rounding_bound(narrow, runs_.bound.largest_logit).value;
  if (could <= bound() || runs_.total.max_abs > could || refuted(id, 0, 0)) return;
  guess(id, fmt::format("the past was kept in {}, whose rounding could explain {:.2g}; logits move by {}", past, could,
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

// Row r of a mask that is anchored at the top left sees tokens 0 .. r.
bool sees_the_first(const NoticedTokens& of_last, std::int64_t rows) {
  return of_last.seen.size() > 1 && std::equal(of_last.seen.begin(), of_last.seen.end(), of_last.matter.begin()) &&
         of_last.seen.back() < rows &&
         (of_last.seen.size() == of_last.matter.size() || of_last.matter[of_last.seen.size()] >= rows);
}

// A mask hides other tokens from the first new token than from the last; where what is hidden is the same for all, it
// may as well be that nothing of use is stored there, so that only what differs from row to row is certain.
void RecordedSearch::add_masks_from_changes() {
  const NoticedTokens first = noticed(p_, 0), last = noticed(p_, p_.rows() - 1);
  const std::string of = fmt::format("of {} of the past, changed one at a time, a new token notices ",
                                     show::counted(std::ssize(first.matter), "token"));
  const std::string rest = "; without a past it notices every one";
  if (first.matter.empty() || first.seen.size() == first.matter.size()) return;
  if (first.seen.empty() && last.seen.empty()) {
    if (!refuted(CauseId::past_ignored, 0, 0)) guess(CauseId::past_ignored, of + "none" + rest);
    return;
  }
  if (first.seen == std::vector<std::int64_t>{0}) {
    if (refuted(CauseId::top_left_mask, 0, 0)) return;
    const bool grows = p_.rows() > 1 && sees_the_first(last, p_.rows());
    const std::string evidence = of + "the first only" + (grows ? ", the last of the call more" : "") + rest;
    return grows ? found(CauseId::top_left_mask, evidence) : guess(CauseId::top_left_mask, evidence);
  }
  if (!first.end_only()) return;
  const std::string from = of + fmt::format("none before token {}", first.unseen_before) + rest;
  const std::int64_t edge = first.unseen_before, seen = first.seen.front(), next = p_.past() + 1;
  const bool moves = p_.rows() > 1 && last.unseen_before > edge;
  if (!moves && !refuted(CauseId::first_dropped, edge, seen)) guess(CauseId::first_dropped, from);
  if ((moves || p_.rows() == 1) && !refuted(CauseId::window, next - seen, next - edge)) {
    moves ? found(CauseId::window, from + "; the last of the call, none before later ones")
          : guess(CauseId::window, from);
  }
}

}  // namespace

Causes explain_recorded(const Runs& runs, const Recording& without, const Recording& with) {
  if (!with.probes) return {};
  const Probed p = probed(runs, without, with);
  return RecordedSearch(runs, p).run();
}

std::optional<Explanation> recorded_rounding(const Runs& r) {
  const WideRuns& wide = r.wide;
  if (!wide.known() || !wide.every_row || parts(wide)) return std::nullopt;
  if (r.total.max_abs == 0 || r.total.max_abs > wide.rounding) return std::nullopt;
  // Uses of several pasts are not run wide. Two runs that are as far off as these are no further from each other.
  if (r.total.max_abs > 2 * std::max(wide.without, wide.with)) return std::nullopt;
  return found_by(CauseId::rounding,
                  fmt::format("in {} the same two runs are {} apart, in {} {}; held against that, logits without a "
                              "past are up to {} off, those with one {}",
                              wide.format, show::short_number(wide.apart), r.bound.values_format,
                              show::short_number(r.total.max_abs), show::short_number(wide.without),
                              show::short_number(wide.with)));
}

}  // namespace pkv::check
