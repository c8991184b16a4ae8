// The way of a check, the same for a living system and for recorded runs: runs, a look inside, causes, verdict, report.
// Each stage is given what the stages before it returned.
#pragma once

#include "checker/check/report.h"

namespace pkv::check {

// The stages that depend on what is checked.
class Stages {
 public:
  virtual ~Stages() = default;
  virtual Runs run() = 0;
  // `logits`: how the runs' logits compare, causes unknown.
  virtual Inside look_inside(const Runs& runs, Outcome logits) = 0;
  virtual Causes explain(const Runs& runs, const Inside& inside, Outcome logits) = 0;
};

Report report_of(Stages& stages);

}  // namespace pkv::check
