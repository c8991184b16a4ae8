// Our own engine as a system to be checked: a model, each session a text with its past; perhaps run as another
// implementation would run it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "checker/session/session.h"
#include "engine/model/model.h"
#include "subjects/implementation.h"

namespace pkv::subjects {

class EngineSubject : public session::Subject, session::Counterfactual {
 public:
  // Error::usage when there is no implementation of that name, or not of this model.
  EngineSubject(model::Model model, std::string name, const std::string& as = {});

  session::Description describe() const override;
  std::unique_ptr<session::Session> fresh() override;
  session::Counterfactual* counterfactual() override { return this; }
  const model::Model& model() const { return model_; }

 private:
  // By the engine as it is, the whole text in one call.
  std::optional<session::Logits> suppose(std::span<const session::Supposition> what, std::span<const std::int32_t> ids,
                                         std::int64_t past) override;

  friend class EngineSession;
  model::Model model_;
  std::string name_;
  Implementation as_;
  std::map<std::int64_t, model::Past> firsts_;  // of first calls, by their length; for a fault that mixes them up
  std::uint64_t drawn_ = 0;                     // numbers of the noise
};

}  // namespace pkv::subjects
