#include "checker/run/carry_out.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/slices.h"
#include "checker/run/replay.h"
#include "checker/run/trials.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

class PlanRun {
 public:
  PlanRun(const Plan& plan, const Setting& setting, const Bound& bound)
      : plan_(plan), setting_(setting), trials_(setting_) {
    setting_.on_fed = [this, &setting](std::int64_t tokens) {
      fed_ += tokens;
      setting.fed(tokens);
    };
    const auto& [ids, other, logits] = setting.text;
    runs_.subject = setting.description;
    runs_.ids.assign(ids.begin(), ids.end());
    runs_.vocab = logits.vocab;
    runs_.bound = bound;
    runs_.notes = plan.notes;
  }
  PlanRun(const PlanRun&) = delete;
  PlanRun& operator=(const PlanRun&) = delete;

  Runs run() {
    Evidence& evidence = runs_.evidence;
    for (const auto past : plan_.influence_at) evidence.influences.push_back(influence(past));
    evidence.used = used_finding(evidence.influences, setting_.tolerance.same_bits ? 0 : setting_.tolerance.bound);
    for (const auto& e : plan_.experiments) experiment(e);
    runs_.causality = causality(setting_);
    control();  // last, so that it also shows what the system remembers from one session to the next
    evidence.exists = exists_finding(trials_.account());
    evidence.length = length_finding(trials_.account());
    runs_.results.push_back(trials_.first_pieces());
    for (const auto& r : runs_.results) runs_.total.add(r.difference);
    static_cast<Cells&>(runs_) = few_cells(all_cells());
    runs_.wrong_call = wrong_call();
    return std::move(runs_);
  }

 private:
  Influence influence(std::int64_t past);
  void experiment(const Experiment& e);
  bool taken(const Trial& t, std::string_view experiment, Difference& sum);
  void describe_last_row();
  void control();
  std::vector<Cell> all_cells() const;
  std::optional<WrongCall> wrong_call() const;

  const Plan& plan_;
  Setting setting_;  // which also counts what is fed
  std::int64_t fed_ = 0;
  Trials trials_;
  Runs runs_;
};

Influence PlanRun::influence(std::int64_t past) {
  const auto with = setting_.subject.fresh(), alone = setting_.subject.fresh(), another = setting_.subject.fresh();
  const Ids rest = drop(setting_.text.ids, past);
  feed(setting_, *with, take(setting_.text.ids, past));
  const Logits right = feed(setting_, *with, rest);
  feed(setting_, *another, take(setting_.text.other, past));
  // One after the other: at once both would have [rest, vocab] logits in memory.
  const double without_it = largest_distance(right, feed(setting_, *alone, rest));
  return {past, without_it, largest_distance(right, feed(setting_, *another, rest))};
}

void PlanRun::experiment(const Experiment& e) {
  Result result{e.name, e.sentence, 0, {}, trials_.obstacle(e.trials.front().method)};
  const bool can = result.left_out.empty();
  for (const auto& t : e.trials) {
    const std::int64_t planned = fed_ + tokens_to_feed(t);
    Difference one;
    if (can && taken(t, e.name, one)) {
      result.difference.add(one);
      result.runs++;
    }
    if (fed_ < planned) setting_.fed(planned - fed_);
  }
  if (runs_.results.empty()) describe_last_row();  // the article's experiment comes first
  if (can && result.runs == 0) result.left_out = "the system refuses it";
  runs_.results.push_back(std::move(result));
}

void PlanRun::describe_last_row() {
  const auto right = setting_.text.logits.row(setting_.text.logits.rows() - 1);
  runs_.table = article_table(right, trials_.last_row());
  static_cast<Histograms&>(runs_) = histograms_of(right, trials_.last_row());
}

// The text itself is taken, as all that is fed in pieces has shown. So a system is at fault that refuses it after
// another use of its past, which may have grown beyond the context.
bool PlanRun::taken(const Trial& t, std::string_view experiment, Difference& sum) try {
  trials_.run(t, sum);
  if (t.method == Method::pieces) {
    runs_.in_pieces.add(sum);
    return true;
  }
  if (sum.first && !runs_.reused) runs_.reused = {t.method, *sum.first, trials_.swapped()};
  Finding& again = runs_.evidence.again;
  if (again.shown == Answer::unknown) again = taken_finding();
  return true;
} catch (const Error& e) {
  if (t.method == Method::pieces || e.kind() != Error::Kind::usage) throw;
  Finding& again = runs_.evidence.again;
  if (again.shown != Answer::no) again = refused_finding(experiment, t.pieces.front(), e);
  return false;
}

void PlanRun::control() {
  Difference twice;
  trials_.compare(feed(setting_, *setting_.subject.fresh(), setting_.text.ids), 0, 0, twice);
  runs_.evidence.noise = twice.max_abs;
  runs_.evidence.control = control_finding(twice);
  if (twice.max_abs > setting_.tolerance.bound) {
    runs_.causality = {.sentence = "whether the model is causal cannot be told: its answers change from run to run"};
  }
  runs_.total.not_finite = twice.not_finite;
  runs_.total.first_not_finite = twice.first_not_finite;
}

std::vector<Cell> PlanRun::all_cells() const {
  std::vector<Cell> all;
  for (const auto& [past, cells] : trials_.cells()) all.insert(all.end(), cells.begin(), cells.end());
  return all;
}

// In the text cut in two where that goes wrong, otherwise after a past that was used more than once.
std::optional<WrongCall> PlanRun::wrong_call() const {
  const auto& first = runs_.in_pieces.first;
  if (!first && !runs_.reused) return std::nullopt;
  if (!first) return WrongCall{runs_.reused->place.past, 0, runs_.reused->place.position, runs_.reused->method};
  WrongCall call{.past = first->past, .position = first->position};
  for (const auto& [past, cells] : trials_.cells()) {
    if (past < call.past) call.right_past = past;  // none of these went wrong: that one is the first
  }
  return call;
}

}  // namespace

std::int64_t tokens_to_carry_out(const Plan& plan, std::int64_t tokens) {
  return plan.tokens_to_feed(tokens) + std::ssize(changed_for_causality(tokens)) * tokens;
}

Runs carry_out(const Plan& plan, const Setting& setting, const Bound& bound) {
  return PlanRun(plan, setting, bound).run();
}

}  // namespace pkv::check
