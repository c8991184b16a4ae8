// The sentence at the top of a report. The rules, in order:
//   not finite       a logit is NaN or infinite
//   differs          logits are further apart than rounding explains (of a system that promises the same bits: any bit
//                    is another), its account of its past's length is wrong, or it refuses to go on from a past that
//                    was used before
//   test is empty    logits agree, but no past was kept or it had no influence
//   identical        every bit compared is equal, the control's too
//   equal within rounding
#pragma once

#include "checker/compare/report.h"

namespace pkv::check {

// Reads subject, results, total, evidence, bound and causes of the report; before causes were sought, it has none.
Verdict judge(const Report& report);

}  // namespace pkv::check
