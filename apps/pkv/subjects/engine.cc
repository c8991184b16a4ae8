#include "subjects/engine.h"

#include <algorithm>

namespace pkv::program {
namespace {

constexpr std::string_view kSharedOutliers =
    "the rows of a call are not independent: int8 keeps in 16 bits every column that has an outlier in any of them, so "
    "a token's logits depend on what else is in its call (--int8-outliers call, as bitsandbytes does it)";

bool calls_share_outliers(const model::Model& model) {
  return model.weights().quantized == quant::Format::int8 && model.int8().outliers_of_call;
}

class EngineSession : public check::Session, check::Rewind, check::Fork {
 public:
  EngineSession(const model::Model& model, model::Past past) : model_(model), past_(std::move(past)) {}

  check::Logits feed(std::span<const std::int32_t> ids) override {
    const model::Feed feed{.ids = ids, .past = &past_};
    const model::Logits logits = model_.forward({&feed, 1});
    const auto values = logits.span<float>();
    return {.vocab = logits.view()[1], .values = {values.begin(), values.end()}};
  }
  void skip(std::span<const std::int32_t> ids) override {
    const model::Feed feed{.ids = ids, .past = &past_};
    model_.forward({&feed, 1}, model::Want::last);
  }
  std::int64_t length() const override { return past_.length(); }
  check::Rewind* rewind() override { return this; }
  check::Fork* fork() override { return this; }

 private:
  void truncate(std::int64_t length) override { past_.truncate(length); }
  std::unique_ptr<check::Session> fork_session() override {
    return std::make_unique<EngineSession>(model_, past_.fork());
  }

  const model::Model& model_;
  model::Past past_;
};

}  // namespace

check::Description EngineSubject::describe() const {
  const model::Card& card = model_.card();
  const std::string weights(model_.weights().format()), past(pkv::name_of(model_.past_dtype()));
  return {.name = name_,
          .family = card.family,
          .system = "pkv " + model_.backend().device().describe(),
          .format = weights,
          .past_format = past == weights ? "" : past,
          .values_format = "fp32",
          .layers = card.layers,
          .width = std::max(card.inner, card.hidden),
          .breaks_law = calls_share_outliers(model_) ? std::string(kSharedOutliers) : "",
          // A model that attends both ways gives a position's logits by the piece that it is fed in.
          .promises_same_bits = card.causal && !calls_share_outliers(model_)};
}

std::unique_ptr<check::Session> EngineSubject::fresh() {
  return std::make_unique<EngineSession>(model_, model_.new_past());
}

}  // namespace pkv::program
