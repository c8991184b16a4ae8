#include "checker/check/stages.h"

#include <utility>

#include "checker/check/verdict.h"

namespace pkv::check {

Report report_of(Stages& stages) {
  Runs runs = stages.run();
  const Outcome logits = outcome_of(runs);
  Inside inside = stages.look_inside(runs, logits);
  Causes causes = stages.explain(runs, inside, logits);
  Verdict verdict = judge(runs, causes);
  return {std::move(runs), std::move(inside), std::move(causes), std::move(verdict)};
}

}  // namespace pkv::check
