#include "checker/check/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "checker/causes/observe.h"
#include "checker/check/stages.h"
#include "checker/run/carry_out.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

// Both runs round, each as far as was measured, and the farthest logit need not have been the same. What was measured
// is believed up to so many times the model of rounding.
constexpr double kBothAndTail = 4, kMostWidened = 64;

Bound widened(Bound bound, double measured) {
  const double value = std::min(kBothAndTail * measured, kMostWidened * bound.value);
  if (value <= bound.value) return bound;
  bound.reason = fmt::format(
      "Rounding alone could move a logit by {:.2g}: four times what it was seen to do in {}, against the same text in "
      "a "
      "wider format.",
      value, bound.values_format);
  bound.value = value;
  return bound;
}

// A living system under check.
class LivingStages : public Stages {
 public:
  LivingStages(Subject& subject, Ids ids, const Options& options)
      : subject_(subject),
        ids_(ids),
        options_(options),
        plan_(make_plan(std::ssize(ids), options.splits)),
        todo_(tokens_to_carry_out(plan_, std::ssize(ids))) {}

  Runs run() override;
  Inside look_inside(const Runs& runs, Outcome logits) override;
  Causes explain(const Runs& runs, const Inside& inside, Outcome logits) override;

  void finish() const {
    if (options_.progress) options_.progress(done_, done_);
  }

 private:
  Bound feed_whole();
  void advance(std::int64_t tokens);

  Subject& subject_;
  Ids ids_;
  const Options& options_;
  Plan plan_;
  std::int64_t done_ = 0, todo_;
  std::vector<std::int32_t> other_;
  Logits logits_;                   // without past
  std::optional<Setting> setting_;  // once the text was fed whole
};

// How much looking for a cause will feed nobody knows: half the way is always left.
void LivingStages::advance(std::int64_t tokens) {
  done_ += tokens;
  if (done_ > todo_) todo_ = 2 * done_;
  if (options_.progress) options_.progress(done_, todo_);
}

Bound LivingStages::feed_whole() {
  const Description description = subject_.describe();
  logits_ = feed(*subject_.fresh(), ids_, 0, description.name);
  advance(std::ssize(ids_));
  other_ = another_text(ids_, logits_.vocab);
  const Bound bound = widened(rounding_bound(description, largest_logit(logits_.values)), options_.rounding);
  const Tolerance tolerance{description.promises_same_bits, bound.value};
  setting_.emplace(Setting{
      subject_, {ids_, other_, logits_}, description, tolerance, [this](std::int64_t tokens) { advance(tokens); }});
  return bound;
}

Runs LivingStages::run() {
  const Bound bound = feed_whole();
  Runs runs = carry_out(plan_, *setting_, bound);
  runs.text = options_.text;
  return runs;
}

// A past that is there and changes nothing may be another text's.
bool wrong(const Runs& runs, Outcome logits) {
  const bool unused = runs.evidence.used.shown == Answer::no && runs.evidence.exists.shown != Answer::no;
  return logits == Outcome::differs || (logits == Outcome::empty && unused);
}

Inside LivingStages::look_inside(const Runs& runs, Outcome logits) {
  if (!wrong(runs, logits) || !runs.wrong_call) return {};
  return find_parting(*setting_, *runs.wrong_call, runs.causality.holds == Answer::yes);
}

// Where rounding could explain the difference, but without a past does much less, a cause that explains it better is
// worth knowing.
Causes LivingStages::explain(const Runs& runs, const Inside& inside, Outcome logits) {
  if (wrong(runs, logits)) return check::explain(*setting_, runs, inside, {runs.in_pieces.first, runs.bound.value});
  if (logits != Outcome::within_rounding || runs.total.same_bits) return {};
  Causes causes;
  if (more_than_rounding_does(runs)) {
    causes = check::explain(*setting_, runs, inside, {runs.in_pieces.worst, moved_without_past(runs)});
  }
  const bool named = !causes.causes.empty() && causes.causes.front().confirmed;
  if (!named) causes.causes = {explain_by_rounding(runs)};
  return causes;
}

}  // namespace

Report run(Subject& subject, std::span<const std::int32_t> ids, const Options& options) {
  LivingStages stages(subject, ids, options);
  Report report = report_of(stages);
  stages.finish();
  return report;
}

}  // namespace pkv::check
