// Our own engine as a system to be checked: a model, each session a text with its past.
#pragma once

#include <memory>
#include <string>

#include "check/session.h"
#include "model/model.h"

namespace pkv::program {

class EngineSubject : public check::Subject {
 public:
  EngineSubject(model::Model model, std::string name) : model_(std::move(model)), name_(std::move(name)) {}

  check::Description describe() const override;
  std::unique_ptr<check::Session> fresh() override;
  const model::Model& model() const { return model_; }

 private:
  model::Model model_;
  std::string name_;
};

}  // namespace pkv::program
