#include "subjects/engine.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace pkv::program {
namespace {

constexpr std::string_view kSharedOutliers =
    "the rows of a call are not independent: int8 keeps in 16 bits every column that has an outlier in any of them, so "
    "a token's logits depend on what else is in its call (--int8-outliers call, as bitsandbytes does it)";

bool calls_share_outliers(const model::Model& model) {
  return model.weights().quantized == quant::Format::int8 && model.int8().outliers_of_call;
}

check::Logits logits_of(const model::Logits& logits) {
  const auto values = logits.span<float>();
  return {.vocab = logits.view()[1], .values = {values.begin(), values.end()}};
}

class EngineSession : public check::Session, check::Rewind, check::Fork, check::Look {
 public:
  EngineSession(const model::Model& model, const Implementation& as, model::Past past)
      : model_(model), as_(as), past_(std::move(past)) {}

  check::Logits feed(std::span<const std::int32_t> ids) override { return logits_of(forward(ids, model::Want::all)); }
  void skip(std::span<const std::int32_t> ids) override { forward(ids, model::Want::last); }
  std::int64_t length() const override { return past_.length(); }
  check::Rewind* rewind() override { return this; }
  check::Fork* fork() override { return this; }
  check::Look* look() override { return this; }

 private:
  check::Logits feed_and_look(std::span<const std::int32_t> ids, check::States& states) override {
    model::Taps taps;
    check::Logits logits = logits_of(forward(ids, model::Want::all, &taps));
    states = {.width = model_.card().hidden,
              .heads = model_.card().heads,
              .head_dim = model_.card().head_dim,
              .layers = {std::move(taps.embedded)},
              .attended = std::move(taps.attended)};
    std::move(taps.layers.begin(), taps.layers.end(), std::back_inserter(states.layers));
    return logits;
  }
  void truncate(std::int64_t length) override { past_.truncate(length); }
  std::unique_ptr<check::Session> fork_session() override {
    return std::make_unique<EngineSession>(model_, as_, past_.fork());
  }

  model::Logits forward(std::span<const std::int32_t> ids, model::Want want, model::Taps* taps = nullptr) {
    const bool alone = as_.keeps_no_past || as_.reads_no_past;
    if (as_.reads_no_past) feed_to(past_, ids, model::Want::last);
    model::Past none = model_.new_past();
    return feed_to(alone ? none : past_, ids, want, taps);
  }
  model::Logits feed_to(model::Past& past, std::span<const std::int32_t> ids, model::Want want,
                        model::Taps* taps = nullptr) const {
    const model::Feed feed{.ids = ids, .past = &past, .fault = as_.fault ? &*as_.fault : nullptr};
    return model_.forward({&feed, 1}, want, taps);
  }

  const model::Model& model_;
  const Implementation& as_;
  model::Past past_;
};

}  // namespace

EngineSubject::EngineSubject(model::Model model, std::string name, const std::string& as)
    : model_(std::move(model)), name_(std::move(name)), as_(implementation(as, model_.card())) {
  if (!as_.outliers_of_call || model_.weights().quantized == quant::Format::int8) return;
  fail_usage({.what = "this implementation has a fault in int8 only", .where = "--as " + as, .hint = "--load-in int8"});
}

check::Description EngineSubject::describe() const {
  const model::Card& card = model_.card();
  const std::string weights(model_.weights().format()), past(pkv::name_of(model_.past_dtype()));
  return {.name = name_,
          .family = card.family,
          .system = "pkv " + model_.backend().device().describe() + (as_.name.empty() ? "" : ", as " + as_.name),
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
  return std::make_unique<EngineSession>(model_, as_, model_.new_past());
}

std::optional<check::Logits> EngineSubject::suppose(std::span<const check::Supposition> what,
                                                    std::span<const std::int32_t> ids, std::int64_t past) {
  const std::optional<model::Fault> fault = fault_of(what, model_.card());
  if (!fault) return std::nullopt;
  model::Past scratch = model_.new_past();
  const model::Feed feed{.ids = ids, .past = &scratch, .fault = &*fault, .as_if_past = past};
  check::Logits logits = logits_of(model_.forward({&feed, 1}));
  logits.values.erase(logits.values.begin(), logits.values.begin() + past * logits.vocab);
  return logits;
}

}  // namespace pkv::program
