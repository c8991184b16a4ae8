#include "subjects/engine.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/random.h"

namespace pkv::subjects {
namespace {

constexpr std::string_view kSharedOutliers =
    "the rows of a call are not independent: int8 keeps in 16 bits every column that has an outlier in any of them, so "
    "a token's logits depend on what else is in its call (--int8-outliers call, as bitsandbytes does it)";

bool calls_share_outliers(const model::Model& model) {
  return model.weights().quantized == quant::Format::int8 && model.int8().outliers_of_call;
}

session::Logits logits_of(const model::Logits& logits) {
  const auto values = logits.span<float>();
  return {.vocab = logits.view()[1], .values = {values.begin(), values.end()}};
}

using Keeps = Implementation::Keeps;
using Ids = std::span<const std::int32_t>;

}  // namespace

class EngineSession : public session::Session, session::Rewind, session::Fork, session::Look {
 public:
  EngineSession(EngineSubject& subject, std::shared_ptr<model::Past> past, std::int64_t length)
      : subject_(subject), past_(std::move(past)), length_(length) {}

  session::Logits feed(Ids ids) override { return logits_of(forward(ids, model::Want::all)); }
  void skip(Ids ids) override { forward(ids, model::Want::last); }
  std::int64_t length() const override { return keeps() == Keeps::nothing ? 0 : length_; }
  session::Rewind* rewind() override { return this; }
  session::Fork* fork() override { return this; }
  session::Look* look() override { return this; }

 private:
  session::Logits feed_and_look(Ids ids, session::States& states) override {
    model::Taps taps;
    session::Logits logits = logits_of(forward(ids, model::Want::all, &taps));
    const model::Card& card = model().card();
    states = {.width = card.hidden,
              .heads = card.heads,
              .head_dim = card.head_dim,
              .layers = {std::move(taps.embedded)},
              .attended = std::move(taps.attended)};
    std::move(taps.layers.begin(), taps.layers.end(), std::back_inserter(states.layers));
    return logits;
  }
  void truncate(std::int64_t length) override {
    if (keeps() != Keeps::what_was_rewound) past_->truncate(length);
    length_ = length;
  }
  std::unique_ptr<session::Session> fork_session() override {
    auto past = keeps() == Keeps::shared_in_forks ? past_ : std::make_shared<model::Past>(past_->fork());
    return std::make_unique<EngineSession>(subject_, std::move(past), length_);
  }

  const model::Model& model() const { return subject_.model_; }
  Keeps keeps() const { return subject_.as_.keeps; }

  model::Logits forward(Ids ids, model::Want want, model::Taps* taps = nullptr) {
    const bool first = length_ == 0, alone = keeps() == Keeps::nothing || keeps() == Keeps::unread;
    length_ += std::ssize(ids);
    if (keeps() == Keeps::unread) feed_to(*past_, ids, model::Want::last);
    model::Past none = model().new_past();
    model::Logits logits = feed_to(alone ? none : *past_, ids, want, taps);
    if (keeps() == Keeps::first_of_length && first) take_first_of_length();
    return logits;
  }
  void take_first_of_length() {
    const auto [at, is_first] = subject_.firsts_.try_emplace(length_, past_->fork());
    if (!is_first) *past_ = at->second.fork();
  }
  model::Logits feed_to(model::Past& past, Ids ids, model::Want want, model::Taps* taps = nullptr) {
    const auto& fault = subject_.as_.fault;
    const model::Feed feed{.ids = ids, .past = &past, .fault = fault ? &*fault : nullptr};
    model::Logits logits = model().forward({&feed, 1}, want, taps);
    if (subject_.as_.noise > 0) {
      for (float& v : logits.span<float>()) v += subject_.as_.noise * random_signed(1, subject_.drawn_++);
    }
    return logits;
  }

  EngineSubject& subject_;
  std::shared_ptr<model::Past> past_;
  std::int64_t length_;  // tokens fed, whatever the past really holds
};

EngineSubject::EngineSubject(model::Model model, std::string name, const std::string& as)
    : model_(std::move(model)), name_(std::move(name)), as_(implementation(as, model_.card())) {
  if (!as_.outliers_of_call || model_.weights().quantized == quant::Format::int8) return;
  fail_usage({.what = "this implementation has a fault in int8 only", .where = "--as " + as, .hint = "--load-in int8"});
}

session::Description EngineSubject::describe() const {
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

std::unique_ptr<session::Session> EngineSubject::fresh() {
  return std::make_unique<EngineSession>(*this, std::make_shared<model::Past>(model_.new_past()), 0);
}

std::optional<session::Logits> EngineSubject::suppose(std::span<const session::Supposition> what,
                                                      std::span<const std::int32_t> ids, std::int64_t past) {
  const std::optional<model::Fault> fault = fault_of(what, model_.card());
  if (!fault || (fault->rows_apart && !calls_share_outliers(model_))) return std::nullopt;
  model::Past scratch = model_.new_past();
  const model::Feed feed{.ids = ids, .past = &scratch, .fault = &*fault, .as_if_past = past};
  session::Logits logits = logits_of(model_.forward({&feed, 1}));
  logits.values.erase(logits.values.begin(), logits.values.begin() + past * logits.vocab);
  return logits;
}

}  // namespace pkv::subjects
