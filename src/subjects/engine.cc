#include "subjects/engine.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

namespace pkv::subjects {
namespace {

constexpr std::string_view kSharedOutliers =
    "the rows of a call are not independent: int8 keeps in 16 bits every column that has an outlier in any of them, so "
    "a token's logits depend on what else is in its call (--int8-outliers call, as bitsandbytes does it)";

bool calls_share_outliers(const model::Model& model) {
  return model.weights().splits_outliers() && model.outliers().of_call;
}

// `rows` rows from `first` on.
session::Logits logits_of(const model::Logits& logits, std::int64_t first, std::int64_t rows) {
  const std::int64_t vocab = logits.view()[1];
  const auto values =
      logits.span<float>().subspan(static_cast<std::size_t>(first * vocab), static_cast<std::size_t>(rows * vocab));
  return {.vocab = vocab, .values = {values.begin(), values.end()}};
}
session::Logits logits_of(const model::Logits& logits) { return logits_of(logits, 0, logits.view()[0]); }

using Keeps = Implementation::Keeps;
using Ids = std::span<const std::int32_t>;

}  // namespace

class EngineSession : public session::Session, session::Rewind, session::Fork, session::Look, session::Save {
 public:
  EngineSession(EngineSubject& subject, std::shared_ptr<model::Past> past, std::int64_t length)
      : subject_(subject), past_(std::move(past)), length_(length) {}

  session::Logits feed(Ids ids) override { return logits_of(forward(ids, model::Want::all)); }
  session::Logits feed_last(Ids ids) override { return logits_of(forward(ids, model::Want::last)); }
  void skip(Ids ids) override { forward(ids, model::Want::last); }
  std::optional<std::int64_t> length() const override { return keeps() == Keeps::nothing ? 0 : length_; }
  session::Rewind* rewind() override { return this; }
  session::Fork* fork() override { return this; }
  session::Look* look() override { return this; }
  session::Save* save() override { return SavedPasts::can_save(model()) ? this : nullptr; }

 private:
  friend class EngineSubject;

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
    if (keeps() == Keeps::states_rewound) {
      past_->truncate_keys(length);
    } else if (keeps() != Keeps::what_was_rewound) {
      past_->truncate(length);
    }
    length_ = length;
  }
  std::unique_ptr<session::Session> fork_session() override {
    auto past = keeps() == Keeps::shared_in_forks ? past_ : std::make_shared<model::Past>(past_->fork());
    return std::make_unique<EngineSession>(subject_, std::move(past), length_);
  }
  std::unique_ptr<session::SavedPast> save_past() override;

  const model::Model& model() const { return subject_.model_; }
  Keeps keeps() const { return subject_.as_.keeps; }

  model::Logits forward(Ids ids, model::Want want, model::Taps* taps = nullptr) {
    const bool first = length_ == 0, alone = keeps() == Keeps::nothing || keeps() == Keeps::unread;
    length_ += std::ssize(ids);
    if (keeps() == Keeps::one_for_all && first) past_->truncate(0);
    if (keeps() == Keeps::unread) feed_to(*past_, ids, model::Want::last);
    if (alone) {
      model::Past none = model().new_past();
      return feed_to(none, ids, want, taps);
    }
    model::Logits logits = feed_to(*past_, ids, want, taps);
    if (keeps() == Keeps::first_of_length && first) take_first_of_length();
    return logits;
  }
  void take_first_of_length() {
    const auto [at, is_first] = subject_.firsts_.try_emplace(length_, past_->fork());
    if (!is_first) *past_ = at->second.fork();
  }
  model::Logits feed_to(model::Past& past, Ids ids, model::Want want, model::Taps* taps = nullptr) {
    const model::Feed feed{.ids = ids, .past = &past, .fault = subject_.fault()};
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

class SavedFile : public session::SavedPast {
 public:
  SavedFile(EngineSubject& subject, const model::Past& past)
      : subject_(subject), ids_(past.ids().begin(), past.ids().end()), path_(subject.saved_.next()) {
    model::save_past(path_, subject.model_, past, subject.saved_.options());
    ids_.push_back(0);  // restoring leaves the prompt's last token to be fed, whichever it is
  }
  ~SavedFile() override {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

  std::uint64_t bytes() const override {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path_, error);
    if (error) fail_load({.what = "cannot tell its size: " + error.message(), .where = path_.string()});
    return size;
  }
  std::unique_ptr<session::Session> restore() override {
    return subject_.resume(model::restore_past(path_, subject_.model_, ids_, subject_.saved_.options()).past);
  }
  bool leave_memory() override { return leave_page_cache(path_); }

 private:
  EngineSubject& subject_;
  std::vector<std::int32_t> ids_;
  std::filesystem::path path_;
};

std::unique_ptr<session::SavedPast> EngineSession::save_past() { return std::make_unique<SavedFile>(subject_, *past_); }

std::string system_of(const model::Model& model) { return "pkv " + model.backend().describe(); }

EngineSubject::EngineSubject(model::Model model, std::string name, EngineOptions options)
    : model_(std::move(model)),
      name_(std::move(name)),
      as_(implementation(options.as, model_.card())),
      beyond_context_(options.beyond_context),
      cost_(model::cost_of(model_)),
      saved_(std::move(options.scratch), {.threads = options.threads, .progress = std::move(options.hashing)}) {
  if (!as_.outliers_of_call || model_.weights().splits_outliers()) return;
  fail_usage({.what = "this implementation has a fault in int8 only",
              .where = "--as " + options.as,
              .hint = "--load-in int8"});
}

session::Description EngineSubject::describe() const {
  const model::Card& card = model_.card();
  const std::string weights(model_.weights().format()), past(pkv::name_of(model_.past_dtype()));
  const bool limited = card.context_is_hard || !beyond_context_;
  std::set<std::int64_t> windows(card.windows.begin(), card.windows.end());
  windows.erase(0);
  return {.name = name_,
          .family = card.family,
          .system = system_of(model_) + (as_.name.empty() ? "" : ", as " + as_.name),
          .format = weights,
          .past_format = past == weights ? "" : past,
          .values_format = "fp32",
          .layers = card.layers,
          .width = std::max(card.inner, card.hidden),
          .vocab = card.vocab,
          .windows = {windows.begin(), windows.end()},
          .longest = limited ? card.context : 0,
          .longest_is = "the model's context",
          .breaks_law = calls_share_outliers(model_) ? std::string(kSharedOutliers) : "",
          .no_past = card.causal ? "" : "the model attends both ways, so more text changes what came before it",
          // A model that attends both ways gives a position's logits by the piece that it is fed in.
          .promises_same_bits = card.causal && !calls_share_outliers(model_)};
}

std::unique_ptr<session::Session> EngineSubject::fresh() {
  if (as_.keeps != Keeps::one_for_all) return resume(model_.new_past());
  if (shared_ == nullptr) shared_ = std::make_shared<model::Past>(model_.new_past());
  return std::make_unique<EngineSession>(*this, shared_, 0);
}

std::unique_ptr<session::Session> EngineSubject::resume(model::Past past) {
  const std::int64_t length = past.length();
  return std::make_unique<EngineSession>(*this, std::make_shared<model::Past>(std::move(past)), length);
}

// Rows are independent, so those of several feeds may be computed together.
std::vector<session::Logits> EngineSubject::feed(std::span<const session::Feed> feeds) {
  if (as_.keeps == Keeps::mixed_in_calls && feeds.size() > 1) {
    auto &first = static_cast<EngineSession&>(feeds[0].session),
         &second = static_cast<EngineSession&>(feeds[1].session);
    if (first.length_ > 0 && first.length_ == second.length_) std::swap(first.past_, second.past_);
  }
  if (as_.keeps != Keeps::right || as_.fault || as_.noise > 0 || calls_share_outliers(model_))
    return Subject::feed(feeds);
  std::vector<model::Feed> together;
  for (const auto& [session, ids] : feeds) {
    auto& own = static_cast<EngineSession&>(session);
    together.push_back({.ids = ids, .past = own.past_.get()});
  }
  const model::Logits logits = model_.forward(together);
  std::vector<session::Logits> all;
  std::int64_t first = 0;
  for (const auto& [session, ids] : feeds) {
    static_cast<EngineSession&>(session).length_ += std::ssize(ids);
    all.push_back(logits_of(logits, first, std::ssize(ids)));
    first += std::ssize(ids);
  }
  return all;
}

std::optional<session::Logits> EngineSubject::suppose(std::span<const session::Supposition> what, Ids ids,
                                                      std::int64_t past) {
  const std::optional<model::Fault> fault = fault_of(what, model_.card());
  if (!fault || (fault->rows_apart && !calls_share_outliers(model_))) return std::nullopt;
  model::Past scratch = model_.new_past();
  // A state is what it has become: another one is had by feeding what comes before it.
  if (fault->state != model::Fault::State::right) {
    const std::span<const std::int32_t> taken_back = what[0].taken_back;
    for (const Ids before : {ids.first(static_cast<std::size_t>(past)), taken_back}) {
      const model::Feed feed{.ids = before, .past = &scratch};
      if (!before.empty()) model_.forward({&feed, 1}, model::Want::last);
    }
    if (!taken_back.empty()) scratch.truncate_keys(past);
    const model::Feed feed{.ids = ids.subspan(static_cast<std::size_t>(past)), .past = &scratch, .fault = &*fault};
    return logits_of(model_.forward({&feed, 1}));
  }
  const model::Feed feed{.ids = ids, .past = &scratch, .fault = &*fault, .as_if_past = past};
  const model::Logits logits = model_.forward({&feed, 1});
  return logits_of(logits, past, logits.view()[0] - past);
}

}  // namespace pkv::subjects
