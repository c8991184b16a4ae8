#include "check/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "check/causes.h"
#include "check/evidence.h"
#include "check/inside.h"
#include "check/pictures.h"
#include "check/replay.h"
#include "check/verdict.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

// One check under way.
class Run {
 public:
  Run(Subject& subject, Ids ids, const Options& options)
      : subject_(subject), ids_(ids), plan_(make_plan(std::ssize(ids), options.splits)), progress_(options.progress) {
    report_.subject = subject.describe();
    report_.text = options.text;
    report_.ids.assign(ids.begin(), ids.end());
    report_.notes = plan_.notes;
    todo_ = plan_.tokens_to_feed(std::ssize(ids)) + tokens_for_causality(std::ssize(ids));
  }

  Report finish() {
    without_past();
    for (const auto past : plan_.probes) probe(past);
    report_.evidence.used =
        used_finding(report_.evidence.probes, report_.subject.promises_same_bits ? 0 : tolerance_.bound);
    for (const auto& e : plan_.experiments) experiment(e);
    report_.causality = causality(subject_, whole(), report_.subject, tolerance_, fed());
    control();  // last, so that it also shows what the system remembers from one session to the next
    report_.evidence.exists = exists_finding(account_);
    report_.evidence.length = length_finding(account_);
    add_first_parts();
    for (const auto& r : report_.results) report_.total.add(r.difference);
    draw();
    report_.verdict = judge(report_);
    explain();
    return std::move(report_);
  }

 private:
  Ids first(std::int64_t count) const { return ids_.first(static_cast<std::size_t>(count)); }
  Ids rest(std::int64_t from) const { return ids_.subspan(static_cast<std::size_t>(from)); }
  Ids other_first(std::int64_t count) const { return Ids(other_).first(static_cast<std::size_t>(count)); }
  Ids other_rest(std::int64_t from) const { return Ids(other_).subspan(static_cast<std::size_t>(from)); }

  void without_past();
  void control();
  void probe(std::int64_t past);
  void experiment(const Experiment& e);
  std::string obstacle(Method method);
  void trial(const Trial& t, Difference& sum);
  void in_pieces(const std::vector<std::int64_t>& pieces, Difference& sum);
  void forked(std::int64_t past, Method method, Difference& sum);
  void rewound(std::int64_t past, Method method, Difference& sum);
  void add_first_parts();
  void draw();
  void part();
  void explain();

  Whole whole() const { return {ids_, other_, reference_}; }
  Fed fed() {
    return [this](std::int64_t tokens) { advance(tokens); };
  }
  void advance(std::int64_t tokens);
  Logits feed(Session& session, Ids ids);
  Logits go_on(Session& session, Ids ids, std::int64_t past);  // with the account of the past's length
  void compare(const Logits& rows, std::int64_t from, std::int64_t past, Difference& sum,
               std::vector<Cell>* cells = nullptr) const;

  Subject& subject_;
  Ids ids_;
  Plan plan_;
  Progress progress_;
  std::int64_t done_ = 0, todo_ = 0;
  std::vector<std::int32_t> other_;
  Logits reference_;
  Tolerance tolerance_;
  const Precision* logits_ = nullptr;
  PastAccount account_;
  Difference first_parts_, pieces_;
  std::map<std::int64_t, std::vector<Cell>> cells_;  // by past, of the text cut in two
  std::optional<std::pair<Method, Place>> reused_;   // the first difference of a past used more than once
  std::int64_t first_parts_runs_ = 0;
  Report report_;
};

Logits Run::feed(Session& session, Ids ids) {
  Logits rows = session.feed(ids);
  const auto vocab = reference_.vocab == 0 ? rows.vocab : reference_.vocab;
  if (vocab <= 0 || rows.vocab != vocab || std::ssize(rows.values) != std::ssize(ids) * vocab) {
    fail_load({.what = "the system answered with logits of another shape",
               .where = report_.subject.name,
               .expected = fmt::format("[{}, {}]", ids.size(), vocab),
               .found = fmt::format("{} values, vocabulary of {}", rows.values.size(), rows.vocab)});
  }
  advance(std::ssize(ids));
  return rows;
}

void Run::advance(std::int64_t tokens) {
  done_ += tokens;
  todo_ = std::max(todo_, done_);  // looking for a cause feeds more than was planned
  if (progress_) progress_(done_, todo_);
}

Logits Run::go_on(Session& session, Ids ids, std::int64_t past) {
  Logits rows = feed(session, ids);
  account_.add(past + std::ssize(ids), session.length());
  return rows;
}

void Run::compare(const Logits& rows, std::int64_t from, std::int64_t past, Difference& sum,
                  std::vector<Cell>* cells) const {
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    const RowDifference row = compare_row(reference_.row(from + r), rows.row(r), *logits_);
    const Place place{past, from + r};
    sum.add(row, place, tolerance_);
    if (cells == nullptr) continue;
    cells->push_back({place, row.not_finite > 0 ? std::numeric_limits<double>::quiet_NaN() : row.max_abs, row.ulps});
  }
}

void Run::without_past() {
  const auto session = subject_.fresh();
  reference_ = feed(*session, ids_);
  other_ = another_text(ids_, reference_.vocab);
  logits_ = &logits_precision(report_.subject);
  report_.vocab = reference_.vocab;
  report_.bound = rounding_bound(report_.subject, largest_logit(reference_.values));
  tolerance_ = {report_.subject.promises_same_bits, report_.bound.value};
}

void Run::control() {
  const auto session = subject_.fresh();
  Difference sum;
  compare(feed(*session, ids_), 0, 0, sum);
  report_.evidence.noise = sum.max_abs;
  report_.evidence.control = control_finding(sum);
  if (sum.max_abs > tolerance_.bound) {
    report_.causality = {.sentence = "whether the model is causal cannot be told: its answers change from run to run"};
  }
  report_.total.not_finite = sum.not_finite;
  report_.total.first_not_finite = sum.first_not_finite;
}

void Run::probe(std::int64_t past) {
  const auto with = subject_.fresh(), alone = subject_.fresh(), another = subject_.fresh();
  feed(*with, first(past));
  const Logits right = feed(*with, rest(past));
  feed(*another, other_first(past));
  report_.evidence.probes.push_back(
      {past, largest_distance(right, feed(*alone, rest(past))), largest_distance(right, feed(*another, rest(past)))});
}

void Run::experiment(const Experiment& e) {
  Result result{e.name, e.sentence, 0, {}, obstacle(e.trials.front().method)};
  for (const auto& t : e.trials) {
    if (!result.left_out.empty()) {
      advance(tokens_to_feed(t));
      continue;
    }
    Difference one;
    trial(t, one);
    if (t.method == Method::pieces) {
      pieces_.add(one);
    } else if (one.first && !reused_) {
      reused_ = {t.method, *one.first};
    }
    result.difference.add(one);
    result.runs++;
  }
  report_.results.push_back(std::move(result));
}

// Why the method cannot be used; empty when it can.
std::string Run::obstacle(Method method) {
  if (method == Method::pieces) return {};
  if (account_.absent()) return "no past was kept";
  const auto session = subject_.fresh();
  const bool fork = method == Method::fork_same || method == Method::fork_other;
  if (fork && session->fork() == nullptr) return "the system cannot fork a past";
  if (!fork && session->rewind() == nullptr) return "the system cannot rewind";
  return {};
}

void Run::trial(const Trial& t, Difference& sum) {
  switch (t.method) {
    case Method::pieces:
      return in_pieces(t.pieces, sum);
    case Method::fork_same:
    case Method::fork_other:
      return forked(t.pieces.front(), t.method, sum);
    case Method::rewind_same:
    case Method::rewind_other:
      return rewound(t.pieces.front(), t.method, sum);
  }
}

void Run::in_pieces(const std::vector<std::int64_t>& pieces, Difference& sum) {
  const auto session = subject_.fresh();
  const bool in_two = pieces.size() == 2 && !cells_.contains(pieces[0]);
  std::int64_t past = 0;
  for (const auto length : pieces) {
    const Logits rows = go_on(*session, rest(past).first(static_cast<std::size_t>(length)), past);
    compare(rows, past, past, past == 0 ? first_parts_ : sum, in_two && past > 0 ? &cells_[past] : nullptr);
    if (report_.results.empty() && past + length == std::ssize(ids_)) {  // the article's experiment comes first
      const auto right = reference_.row(reference_.rows() - 1), last = rows.row(rows.rows() - 1);
      report_.table = article_table(right, last);
      fill_histograms(report_, right, last);
    }
    past += length;
  }
  first_parts_runs_++;
}

void Run::forked(std::int64_t past, Method method, Difference& sum) {
  const auto original = subject_.fresh();
  go_on(*original, first(past), 0);
  const auto fork = original->fork()->fork_session();
  account_.add(past, fork->length());
  if (method == Method::fork_other) {
    const auto third = original->fork()->fork_session();
    go_on(*third, other_rest(past), past);
    compare(go_on(*original, rest(past), past), past, past, sum);
    compare(go_on(*fork, rest(past), past), past, past, sum);
  } else {
    compare(go_on(*fork, rest(past), past), past, past, sum);
    compare(go_on(*original, rest(past), past), past, past, sum);
  }
}

void Run::rewound(std::int64_t past, Method method, Difference& sum) {
  const auto session = subject_.fresh();
  if (method == Method::rewind_same) {
    go_on(*session, ids_, 0);
  } else {
    go_on(*session, first(past), 0);
    go_on(*session, other_rest(past), past);
  }
  session->rewind()->truncate(past);
  account_.add(past, session->length());
  compare(go_on(*session, rest(past), past), past, past, sum);
}

// The parts fed first have no past themselves. If they do not agree with the whole run, logits depend on what follows,
// and no past can be right.
void Run::add_first_parts() {
  Result result{std::string(first_parts),
                "the part fed first in each run: its logits must not depend on what follows",
                first_parts_runs_,
                first_parts_,
                {}};
  report_.results.push_back(std::move(result));
}

void Run::draw() {
  std::vector<Cell> all;
  for (const auto& [past, cells] : cells_) all.insert(all.end(), cells.begin(), cells.end());
  fill_cells(report_, std::move(all));
}

// In the text cut in two where that goes wrong, otherwise in a past that was used more than once.
void Run::part() {
  if (!pieces_.first) {
    if (!reused_) return;
    const auto& [method, place] = *reused_;
    find_parting(report_, subject_, whole(), {place.past, 0, place.position, method}, tolerance_, fed());
    return;
  }
  Suspect suspect{.past = pieces_.first->past, .position = pieces_.first->position};
  for (const auto& [past, cells] : cells_) {
    if (past < suspect.past) suspect.right_past = past;  // none of these went wrong: that one is the first
  }
  find_parting(report_, subject_, whole(), suspect, tolerance_, fed());
}

// Also where the logits agree but the past does not matter: it may be another text's. And where rounding could explain
// the difference, but without a past does much less: then a cause that explains it better is worth knowing.
void Run::explain() {
  const Outcome outcome = report_.verdict.outcome;
  const bool unused = report_.evidence.used.shown == Finding::Shown::no && !account_.absent();
  if (outcome == Outcome::within_rounding && !report_.total.same_bits) {
    if (more_than_rounding_does(report_)) {
      check::explain(report_, subject_, {whole(), pieces_.worst, reused_, moved_without_past(report_)}, fed());
    }
    const bool named = !report_.causes.empty() && report_.causes.front().confirmed;
    if (!named) report_.causes.clear(), name_rounding(report_);
  } else if (outcome == Outcome::differs || (outcome == Outcome::empty && unused)) {
    part();
    check::explain(report_, subject_, {whole(), pieces_.first, reused_, report_.bound.value}, fed());
  }
  report_.verdict = judge(report_);
}

}  // namespace

Report run(Subject& subject, std::span<const std::int32_t> ids, const Options& options) {
  return Run(subject, ids, options).finish();
}

}  // namespace pkv::check
