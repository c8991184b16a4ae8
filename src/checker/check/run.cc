#include "checker/check/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "checker/causes/causes.h"
#include "checker/check/verdict.h"
#include "checker/run/evidence.h"
#include "checker/run/inside.h"
#include "checker/run/pictures.h"
#include "checker/run/replay.h"
#include "checker/run/trials.h"

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
    todo_ =
        plan_.tokens_to_feed(std::ssize(ids)) + std::ssize(changed_for_causality(std::ssize(ids))) * std::ssize(ids);
  }

  Report finish() {
    without_past();
    for (const auto past : plan_.probes) probe(past);
    report_.evidence.used =
        used_finding(report_.evidence.probes, report_.subject.promises_same_bits ? 0 : tolerance_.bound);
    for (const auto& e : plan_.experiments) experiment(e);
    report_.causality = causality(subject_, whole(), report_.subject, tolerance_, fed());
    control();  // last, so that it also shows what the system remembers from one session to the next
    report_.evidence.exists = exists_finding(trials_->account());
    report_.evidence.length = length_finding(trials_->account());
    report_.results.push_back(trials_->first_parts());
    for (const auto& r : report_.results) report_.total.add(r.difference);
    draw();
    report_.verdict = judge(report_);
    explain();
    if (progress_) progress_(done_, done_);
    return std::move(report_);
  }

 private:
  Ids first(std::int64_t count) const { return ids_.first(static_cast<std::size_t>(count)); }
  Ids rest(std::int64_t from) const { return ids_.subspan(static_cast<std::size_t>(from)); }
  Ids other_first(std::int64_t count) const { return Ids(other_).first(static_cast<std::size_t>(count)); }

  void without_past();
  void control();
  void probe(std::int64_t past);
  void experiment(const Experiment& e);
  bool taken(const Trial& t, std::string_view experiment, Difference& sum);
  void draw();
  void part();
  void explain();

  Whole whole() const { return {ids_, other_, reference_}; }
  Fed fed() {
    return [this](std::int64_t tokens) { advance(tokens); };
  }
  void advance(std::int64_t tokens);
  Logits feed(Session& session, Ids ids);

  Subject& subject_;
  Ids ids_;
  Plan plan_;
  Progress progress_;
  std::int64_t done_ = 0, todo_ = 0;
  std::vector<std::int32_t> other_;
  Logits reference_;
  Tolerance tolerance_;
  std::optional<Trials> trials_;                    // once the text was fed whole
  Difference pieces_;                               // of a past used once
  std::optional<std::pair<Method, Place>> reused_;  // the first difference of a past used more than once
  Report report_;
};

Logits Run::feed(Session& session, Ids ids) {
  Logits rows = check::feed(session, ids, reference_.vocab, report_.subject.name);
  advance(std::ssize(ids));
  return rows;
}

// How much looking for a cause will feed nobody knows: half the way is always left.
void Run::advance(std::int64_t tokens) {
  done_ += tokens;
  if (done_ > todo_) todo_ = 2 * done_;
  if (progress_) progress_(done_, todo_);
}

void Run::without_past() {
  const auto session = subject_.fresh();
  reference_ = feed(*session, ids_);
  other_ = another_text(ids_, reference_.vocab);
  report_.vocab = reference_.vocab;
  report_.bound = rounding_bound(report_.subject, largest_logit(reference_.values));
  tolerance_ = {report_.subject.promises_same_bits, report_.bound.value};
  trials_.emplace(subject_, whole(), report_.subject, tolerance_, fed());
}

void Run::control() {
  const auto session = subject_.fresh();
  Difference sum;
  trials_->compare(feed(*session, ids_), 0, 0, sum);
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
  Result result{e.name, e.sentence, 0, {}, trials_->obstacle(e.trials.front().method)};
  const bool can = result.left_out.empty();
  for (const auto& t : e.trials) {
    const std::int64_t done = done_ + tokens_to_feed(t);
    Difference one;
    if (can && taken(t, e.name, one)) {
      result.difference.add(one);
      result.runs++;
    }
    if (done_ < done) advance(done - done_);
  }
  if (report_.results.empty()) {  // the article's experiment comes first
    const auto right = reference_.row(reference_.rows() - 1);
    report_.table = article_table(right, trials_->last_row());
    fill_histograms(report_, right, trials_->last_row());
  }
  if (can && result.runs == 0) result.left_out = "the system refuses it";
  report_.results.push_back(std::move(result));
}

// The text itself is taken, as all that is fed in pieces has shown. So a system is at fault that refuses it after
// another use of its past, which may have grown beyond the context.
bool Run::taken(const Trial& t, std::string_view experiment, Difference& sum) try {
  trials_->run(t, sum);
  if (t.method == Method::pieces) {
    pieces_.add(sum);
    return true;
  }
  if (sum.first && !reused_) reused_ = {t.method, *sum.first};
  Finding& again = report_.evidence.again;
  if (again.shown == Finding::Shown::unknown) again = taken_finding();
  return true;
} catch (const Error& e) {
  if (t.method == Method::pieces || e.kind() != Error::Kind::usage) throw;
  Finding& again = report_.evidence.again;
  if (again.shown != Finding::Shown::no) again = refused_finding(experiment, t.pieces.front(), e);
  return false;
}

void Run::draw() {
  std::vector<Cell> all;
  for (const auto& [past, cells] : trials_->cells()) all.insert(all.end(), cells.begin(), cells.end());
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
  for (const auto& [past, cells] : trials_->cells()) {
    if (past < suspect.past) suspect.right_past = past;  // none of these went wrong: that one is the first
  }
  find_parting(report_, subject_, whole(), suspect, tolerance_, fed());
}

// Also where the logits agree but the past does not matter: it may be another text's. And where rounding could explain
// the difference, but without a past does much less: then a cause that explains it better is worth knowing.
void Run::explain() {
  const Outcome outcome = report_.verdict.outcome;
  const bool unused = report_.evidence.used.shown == Finding::Shown::no && !trials_->account().absent();
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
