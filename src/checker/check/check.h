// Can a system's past be reused? The door of the room.
//
//   check::Report report = check::run(subject, ids, {.splits = check::parse_splits("all"), .text = text});
//   fmt::print("{}", show::as_text(check::document(report), colour));
//   return report.verdict.holds() ? 0 : 1;
//
// A subject is anything that can be fed (session.h); recorded/recorded.h does the same for two recorded runs. Logits
// in pieces are compared with logits of the whole text; nothing here knows what a key, a value or a layer is.
#pragma once

#include "checker/check/document.h"
#include "checker/check/report.h"
#include "checker/check/run.h"
#include "checker/run/plan.h"
#include "checker/session/session.h"
