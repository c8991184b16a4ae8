#include "checker/recorded/recorded.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "checker/check/stages.h"
#include "checker/compare/columns.h"
#include "checker/recorded/probes.h"
#include "checker/recorded/routes.h"
#include "checker/recorded/subject.h"
#include "checker/run/evidence.h"
#include "checker/run/inside.h"
#include "checker/run/pictures.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

[[noreturn]] void contradiction(const Recording& r, std::string what, std::int64_t expected, std::int64_t found) {
  fail_load({.what = std::move(what),
             .where = r.description.name,
             .expected = fmt::format("{}", expected),
             .found = fmt::format("{}", found)});
}

void require_sound(const Recording& r) {
  const auto tokens = std::ssize(r.ids), rows = r.logits.rows();
  const auto expected = r.whole() ? tokens : std::ssize(r.at);
  if (rows != expected || std::ssize(r.logits.values) != rows * r.logits.vocab) {
    contradiction(
        r, r.whole() ? "a recording needs a row of logits for every token" : "a row of logits for each of its rows",
        expected, rows);
  }
  require_places(r, "rows", r.at, tokens);
  if (!r.whole() && r.at.back() != tokens - 1)
    contradiction(r, "the logits of the last token are missing", tokens - 1, r.at.back());
  const auto fed = std::accumulate(r.pieces.begin(), r.pieces.end(), std::int64_t{0});
  const bool positive = std::all_of(r.pieces.begin(), r.pieces.end(), [](auto p) { return p > 0; });
  if (!r.pieces.empty() && (fed != tokens || !positive)) {
    contradiction(r, "the recorded pieces do not add up to the tokens", tokens, fed);
  }
  if (!r.past_lengths.empty() && r.past_lengths.size() != r.pieces.size()) {
    contradiction(r, "a recording needs a past length for every piece", std::ssize(r.pieces),
                  std::ssize(r.past_lengths));
  }
}

void require_sound_states(const Recording& r) {
  const auto expected = std::ssize(r.ids) * r.states.width;
  for (const auto& layer : r.states.layers) {
    if (std::ssize(layer) != expected)
      contradiction(r, "a recording needs a state for every token", expected, std::ssize(layer));
  }
}

void require_same_text(const Recording& a, const Recording& b) {
  if (a.ids.empty()) fail_usage({.what = "the recordings hold no tokens"});
  if (a.past_tokens != b.past_tokens) {
    fail_usage({.what = "the recordings go on from saved pasts of different lengths",
                .expected = fmt::format("{} tokens", a.past_tokens),
                .found = fmt::format("{} tokens", b.past_tokens)});
  }
  if (a.logits.vocab != b.logits.vocab) {
    fail_usage({.what = "the recordings have vocabularies of different sizes",
                .expected = fmt::format("{}", a.logits.vocab),
                .found = fmt::format("{}", b.logits.vocab)});
  }
  if (!a.states.layers.empty() && !b.states.layers.empty() &&
      (a.states.width != b.states.width || a.states.layers.size() != b.states.layers.size())) {
    fail_usage({.what = "the recordings have states of different models",
                .expected = fmt::format("{} layers of {}", a.states.layers.size(), a.states.width),
                .found = fmt::format("{} layers of {}", b.states.layers.size(), b.states.width)});
  }
  const auto [at, other] = std::mismatch(a.ids.begin(), a.ids.end(), b.ids.begin(), b.ids.end());
  if (at == a.ids.end() && other == b.ids.end()) return;
  fail_usage({.what = "the recordings are not of the same text",
              .where = fmt::format("token {}", at - a.ids.begin()),
              .expected = at == a.ids.end() ? "the end" : fmt::format("{}", *at),
              .found = other == b.ids.end() ? "the end" : fmt::format("{}", *other)});
}

// The format of larger steps and the model as a whole: what either run rounds, the difference shows.
Bound wider_bound(const Recording& a, const Recording& b) {
  const double largest = largest_logit(a.logits.values);
  const Bound x = rounding_bound(a.description, largest), y = rounding_bound(b.description, largest);
  return x.value > y.value ? x : y;
}

// How a smaller fault could be seen.
std::string sharper(const Runs& runs) {
  const bool wide = runs.bound.values_format == "fp32";
  if (runs.wide.known()) return "record with --splits last, all of which is run wider, too";
  return wide ? "record with --probes" : "record it in fp32, or with --probes";
}

const Precision& coarser_logits(const Recording& a, const Recording& b) {
  const Precision &x = logits_precision(a.description), &y = logits_precision(b.description);
  return x.fraction_bits < y.fraction_bits ? x : y;
}

Evidence evidence_of(const Recording& with) {
  PastAccount account;
  std::int64_t fed = with.past_tokens;
  for (std::size_t i = 0; i < with.past_lengths.size(); ++i) {
    fed += with.pieces[i];
    account.add(fed, with.past_lengths[i]);
  }
  Evidence e;
  e.exists = exists_finding(account);
  e.length = length_finding(account);
  e.used = used_finding({}, 0);
  e.control.sentence = "whether the same run twice gives the same logits is not known";
  return e;
}

struct Comparison {
  const Recording &without, &with;
  const Precision& logits;
  Tolerance tolerance;
  std::optional<RouterTie> tie;

  Difference rows(std::int64_t from, std::int64_t count, std::int64_t past) const {
    Difference sum;
    for (std::int64_t r = from; r < from + count; ++r) {
      const std::int64_t a = without.row_of(r), b = with.row_of(r);
      if (a < 0 || b < 0 || (tie && with.past_tokens + r >= tie->token)) continue;
      sum.add(compare_row(without.logits.row(a), with.logits.row(b), logits), {past, with.past_tokens + r}, tolerance);
    }
    return sum;
  }
};

std::vector<Result> results_of(const Comparison& c) {
  const auto& pieces = c.with.pieces;
  const auto tokens = std::ssize(c.with.ids);
  if (pieces.empty())
    return {{std::string(recorded_run), "fed in pieces that were not recorded", 1, c.rows(0, tokens, -1), {}}};
  const std::int64_t saved = c.with.past_tokens;
  Result later{"recorded pieces", "all pieces but the first", 1, {}, {}};
  if (saved > 0) later.sentence = fmt::format("all pieces, after a saved past of {} tokens", saved);
  std::int64_t at = 0;
  for (const std::int64_t piece : pieces) {
    if (saved + at > 0) later.difference.add(c.rows(at, piece, saved + at));
    at += piece;
  }
  if (saved > 0) return {later};
  Result first{std::string(first_pieces),
               "the piece fed first: its logits must not depend on what follows",
               1,
               c.rows(0, pieces.front(), 0),
               {}};
  if (pieces.size() == 1) return {first};
  return {later, first};
}

bool in_pieces(const Recording& r) { return r.pieces.size() > 1; }

std::string label(const Description& d) { return d.system.empty() ? d.name : d.name + ", " + d.system; }

std::vector<std::string> notes_of(const Recording& without, const Recording& with) {
  std::vector<std::string> notes;
  const std::string a = label(without.description), b = label(with.description);
  if (a != b) notes.push_back(fmt::format("Without past: {}. With past: {}.", a, b));
  if (in_pieces(without)) {
    notes.push_back("The first recording was fed in pieces too: two uses of a past are compared.");
  } else if (without.past_tokens > 0) {
    notes.push_back("The first recording goes on from a saved past too: two uses of a past are compared.");
  }
  if (with.pieces.empty()) {
    notes.push_back("How the second recording was fed is not known: all positions are compared.");
  }
  const auto shown = std::ranges::count_if(with.at, [&](auto place) { return without.row_of(place) >= 0; });
  if (with.padding > 0) {
    notes.push_back(fmt::format("In pieces the text was fed behind {} of padding, whole it was not.",
                                show::counted(with.padding, "token")));
  }
  if (!with.whole() || !without.whole()) {
    notes.push_back(fmt::format("Logits of {} of {} positions are in both recordings, and compared.",
                                with.whole() ? std::ssize(without.at) : shown, std::ssize(with.ids)));
  }
  const auto other_token = [&](std::int32_t id) { return id != with.ids.front(); };
  if (with.ids.size() > 1 && std::ranges::none_of(with.ids, other_token)) {
    notes.push_back(
        "The text is one token, repeated: it looks the same wherever attention looks, so that a past that "
        "is not used may give the same logits. Another text tells more.");
  }
  if (with.probes) {
    for (const std::string& line : with.probes->left_out) notes.push_back("Not recorded: " + line + ".");
  }
  return notes;
}

// Of the positions that had a past, where no wider run tells what rounding does to them.
Spread spread_after_a_past(const Recording& without, const Recording& with, const Runs& runs) {
  const bool by_first = relative_rounding(without.description) > relative_rounding(with.description);
  Spread spread = spread_of(by_first ? without.description : with.description);
  if (runs.wide.known() || in_pieces(without) || with.past_tokens > 0 || with.pieces.empty()) return spread;
  for (std::int64_t r = with.pieces.front(); r < std::ssize(with.ids); ++r) {
    const std::int64_t a = without.row_of(r), b = with.row_of(r);
    if (a < 0 || b < 0 || (runs.tie && r >= runs.tie->token)) continue;
    add_row(spread, without.logits.row(a), with.logits.row(b));
  }
  return spread;
}

// Two recordings under check. Where states were recorded, they are looked into as a living system is.
class RecordedStages : public Stages {
 public:
  RecordedStages(const Recording& without, const Recording& with)
      : without_(without),
        with_(with),
        subject_(without, with),
        other_(another_text(with.ids, with.logits.vocab)),
        all_(without.whole() && with.whole() ? Logits{} : subject_.whole_text()) {}

  Runs run() override;
  Inside look_inside(const Runs& runs, Outcome) override {
    if (!runs.wrong_call) return {};
    Inside inside = find_parting(setting(runs), *runs.wrong_call, runs.causality.holds == Answer::yes);
    if (!inside.layers.empty() || !with_.probes) return inside;
    if (auto measured = inside_as_measured(with_)) return std::move(*measured);
    return inside;
  }
  Causes explain(const Runs& runs, const Inside&, Outcome logits) override;

 private:
  Setting setting(const Runs& runs) {
    return {subject_, {with_.ids, other_, all_.vocab > 0 ? all_ : without_.logits}, runs.subject, runs.tolerance()};
  }

  const Recording &without_, &with_;
  RecordedSubject subject_;
  std::vector<std::int32_t> other_;
  Logits all_;  // without past, where some rows are missing
};

Runs RecordedStages::run() {
  Runs runs;
  runs.subject = with_.description;
  runs.subject.promises_same_bits &= without_.description.promises_same_bits;
  runs.text = with_.text;
  runs.ids = with_.ids;
  runs.vocab = with_.logits.vocab;
  runs.padding = with_.padding;
  runs.notes = notes_of(without_, with_);
  runs.tie = router_tie(with_);
  runs.wide = wide_runs(without_, with_, runs.tie);
  runs.bound = narrowed(wider_bound(without_, with_), runs.wide);
  runs.bound.sharper = sharper(runs);
  runs.spread = spread_after_a_past(without_, with_, runs);
  runs.evidence = evidence_of(with_);
  const auto right = without_.logits.row(without_.logits.rows() - 1), other = with_.logits.row(with_.logits.rows() - 1);
  runs.table = article_table(right, other);
  static_cast<Histograms&>(runs) = histograms_of(right, other);
  runs.results = results_of({without_, with_, coarser_logits(without_, with_), runs.tolerance(), runs.tie});
  add_probes(runs, without_, with_);
  for (const auto& r : runs.results) runs.total.add(r.difference);
  if (has_causality_runs(with_)) runs.causality = causality(setting(runs));
  const auto& first = runs.total.first;
  if (first && first->past >= 1 && with_.past_tokens == 0) {  // what was saved cannot be fed again
    runs.wrong_call = {.past = first->past, .right_past = first->past - 1, .position = first->position};
  }
  return runs;
}

Causes RecordedStages::explain(const Runs& runs, const Inside&, Outcome logits) {
  if (logits == Outcome::differs) return explain_recorded(runs, without_, with_);
  Causes causes;
  if (logits != Outcome::within_rounding) return causes;
  if (auto rounding = recorded_rounding(runs)) causes.causes.push_back(std::move(*rounding));
  return causes;
}

}  // namespace

std::int64_t Recording::row_of(std::int64_t position) const {
  if (whole()) return position;
  const auto found = std::ranges::lower_bound(at, position);
  return found == at.end() || *found != position ? -1 : found - at.begin();
}

Report compare_recordings(const Recording& without_past, const Recording& with_past) {
  if (in_pieces(without_past) && with_past.pieces.size() == 1) {
    Report swapped = compare_recordings(with_past, without_past);
    swapped.notes.push_back("The second recording was fed whole and the first in pieces: taken the other way round.");
    return swapped;
  }
  require_sound(without_past);
  require_sound(with_past);
  require_same_text(without_past, with_past);
  for (const Recording* r : {&without_past, &with_past}) {
    require_sound_states(*r);
    require_sound_probes(*r);
    require_sound_routes(*r);
  }
  RecordedStages stages(without_past, with_past);
  return report_of(stages);
}

}  // namespace pkv::check
