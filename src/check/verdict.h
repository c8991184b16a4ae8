// The sentence at the top of a report. The rules, in order:
//   not finite       a logit is NaN or infinite
//   differs          logits are further apart than rounding explains (for a system that promises the same bits: any
//   bit),
//                    or the system's account of its past's length is wrong
//   test is empty    logits agree, but no past was kept or it had no influence
//   identical        every bit compared is equal, the control's too
//   equal within rounding
#pragma once

#include "check/report.h"

namespace pkv::check {

// Reads subject, results, total, evidence and bound of the report.
Verdict judge(const Report& report);

}  // namespace pkv::check
