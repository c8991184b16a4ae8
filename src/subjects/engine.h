// Our own engine as a system to be fed: a model, each session a text with its past; perhaps run as another
// implementation would run it (faults.h). One adapter for checks, measurements and perplexity.
//
//   subjects::EngineSubject subject(model::load(source, backend), "tiny-gpt2");
//   const check::Report report = check::run(subject, ids);
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/progress.h"
#include "checker/measure/machine.h"
#include "checker/session/session.h"
#include "engine/model/cost.h"
#include "engine/model/model.h"
#include "subjects/faults.h"
#include "subjects/saved.h"

namespace pkv::subjects {

struct EngineOptions {
  std::string as = {};                 // the name of an implementation; empty: the engine as it is
  bool beyond_context = false;         // texts may be longer than the model was trained for, where it can be fed them
  std::filesystem::path scratch = {};  // where pasts are saved; empty: where the system keeps temporary files
  int threads = 0;                     // that check saved pasts; 0: one per core
  Progress hashing = {};  // called while weights are hashed for a saved past, which takes long for large ones
};

// "pkv cpu (AVX2), 2 threads": who answers, for labels.
std::string system_of(const model::Model& model);

class EngineSubject : public session::Subject, session::Counterfactual, public measure::Costs {
 public:
  // Error::usage when there is no implementation of that name, or not of this model.
  EngineSubject(model::Model model, std::string name, EngineOptions options = {});
  EngineSubject(const EngineSubject&) = delete;
  EngineSubject& operator=(const EngineSubject&) = delete;

  session::Description describe() const override;
  std::unique_ptr<session::Session> fresh() override;
  std::unique_ptr<session::Session> resume(model::Past past);  // from a past of this model
  // One forward pass for all sessions, unless what it is run as lets calls or sessions meddle with each other.
  std::vector<session::Logits> feed(std::span<const session::Feed> feeds) override;
  session::Counterfactual* counterfactual() override { return this; }
  const model::Model& model() const { return model_; }

  double weight_bytes() const override { return cost_.weight_bytes; }
  double layer_fmas() const override { return cost_.fmas; }
  double output_fmas() const override { return cost_.output_fmas; }
  double step_bytes(std::int64_t past) const override { return cost_.step_bytes(past); }
  double call_fmas(std::int64_t past, std::int64_t tokens) const override { return cost_.call_fmas(past, tokens); }

 private:
  const model::Fault* fault() const { return as_.fault ? &*as_.fault : nullptr; }

  // By the engine as it is, the whole text in one call.
  std::optional<session::Logits> suppose(std::span<const session::Supposition> what, std::span<const std::int32_t> ids,
                                         std::int64_t past) override;

  friend class EngineSession;
  friend class SavedFile;
  model::Model model_;
  std::string name_;
  Implementation as_;
  bool beyond_context_;
  model::Cost cost_;
  SavedPasts saved_;
  std::map<std::int64_t, model::Past> firsts_;  // of first calls, by their length; for a fault that mixes them up
  std::shared_ptr<model::Past> shared_;         // by all sessions; for a fault
  std::uint64_t drawn_ = 0;                     // numbers of the noise
};

}  // namespace pkv::subjects
