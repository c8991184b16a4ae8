// All runs of a check of a living system: what was planned, carried out. Logits come as they are fed, are compared and
// dropped; only those of the whole text stay.
#pragma once

#include "checker/run/plan.h"
#include "checker/run/runs.h"
#include "checker/run/setting.h"

namespace pkv::check {

// Tokens that carry_out() will feed of a text of that length, but for a look inside where the model is not causal.
std::int64_t tokens_to_carry_out(const Plan& plan, std::int64_t tokens);

// `bound`: of the setting's logits. on_fed is told of trials that were left out, too, as if they had been fed. Load
// error when the system answers with logits of another shape; what the subject throws goes through.
Runs carry_out(const Plan& plan, const Setting& setting, const Bound& bound);

}  // namespace pkv::check
