// Can a system's past be reused? The door of the room.
//
//   check::Report report = check::run(subject, ids, {.splits = check::parse_splits("all"), .text = text});
//   fmt::print("{}", check::report_text(report, colour));
//   return report.verdict.holds() ? 0 : 1;
//
// A subject is anything that can be fed (session.h). compare_recordings() does the same for two recorded runs. Logits
// in pieces are compared with logits of the whole text; nothing here knows what a key, a value or a layer is.
#pragma once

#include "check/perplexity.h"
#include "check/plan.h"
#include "check/recorded.h"
#include "check/report.h"
#include "check/run.h"
#include "check/session.h"
