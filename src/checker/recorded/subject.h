// Two recorded runs as a system that can be fed the text that was recorded, and nothing else: what looks into living
// systems (inside.h) looks into recordings too.
#pragma once

#include "checker/recorded/recorded.h"

namespace pkv::check {

// Whether the runs are there that causality() will ask for.
bool has_causality_runs(const Recording& with_past);

// The first call of a session is answered from the run without past, all later ones from the run with it. A first call
// whose text leaves the recorded one is answered from the run "later.N". Both recordings must outlive it.
class RecordedSubject : public Subject {
 public:
  RecordedSubject(const Recording& without_past, const Recording& with_past)
      : without_(without_past), with_(with_past) {}

  Description describe() const override { return with_.description; }
  std::unique_ptr<Session> fresh() override;
  // Of the run without past, all positions; zeros where either recording lacks one, so that nothing parts there.
  Logits whole_text() const;

 private:
  const Recording &without_, &with_;
};

}  // namespace pkv::check
