// A toy causal model with a past, small enough to read: one attention over (token, position), computed in double in one
// fixed order, so that it obeys the row law. Every way in which a past can go wrong is a field of Bugs. The checker
// must tell the one with a bug from the healthy one; it sees either only through session::Session.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "checker/session/session.h"

namespace pkv::toy {

// One feed: `past` tokens were there, `count` are new.
struct Call {
  std::int64_t past, count;
  bool continues() const { return past > 0; }
};

// Defaults: healthy.
struct Bugs {
  // Position of new token `row`; whether new token `row` sees the key at `index`.
  std::function<std::int64_t(Call, std::int64_t row)> position = [](Call c, std::int64_t row) { return c.past + row; };
  std::function<bool(Call, std::int64_t row, std::int64_t index)> sees =
      [](Call c, std::int64_t row, std::int64_t index) { return index <= c.past + row; };
  std::function<std::int64_t(std::int64_t)> reported = [](std::int64_t length) { return length; };
  std::function<float(Call, float)> logit = [](Call, float value) { return value; };
  bool keeps_nothing = false;
  bool finds_prefix_by_length = false;  // a first call is given the past of an earlier session's first call as long
  bool swaps_text = false;              // the past is replaced by another text's after each call
  bool one_buffer = false;              // all sessions write into the same past, which each begins anew
  bool mixes_batches = false;           // two sessions fed in one call swap their pasts
  bool shares_on_fork = false;          // forks write into the same past
  std::int64_t rewind_error = 0;        // keeps so many tokens more than asked, and says nothing of it
  bool ignores_rewind = false;
  bool powers = true;                // can fork and rewind
  std::int64_t context = 1'000'000;  // tokens that a past may hold
};

inline constexpr std::int64_t vocab = 13;

struct Entry {
  std::int32_t token;
  std::int64_t position;
};

inline double hashed(std::int64_t a, std::int64_t b, std::int64_t c) {
  return 2 * random_unit(static_cast<std::uint64_t>(a * 1000003 + b), static_cast<std::uint64_t>(c)) - 1;
}

inline double score(const Entry& query, const Entry& key) {
  return 1.5 * hashed(query.token, key.token, 1) +
         0.5 * std::cos(0.7 * static_cast<double>(query.position - key.position));
}

inline double value(const Entry& key, std::int64_t v) {
  return 8 * hashed(key.token, v, 2) + 2 * std::sin(0.3 * static_cast<double>((v + 1) * (key.position + 1)));
}

// First calls of all sessions of a subject, by their length.
using Prefixes = std::map<std::int64_t, std::vector<Entry>>;

class Session : public session::Session, public session::Rewind, public session::Fork {
 public:
  Session(const Bugs& bugs, Prefixes& prefixes, std::shared_ptr<std::vector<Entry>> past)
      : bugs_(bugs), prefixes_(prefixes), past_(std::move(past)) {}

  session::Logits feed(std::span<const std::int32_t> ids) override {
    if (bugs_.one_buffer && !begun_) past_->clear();
    begun_ = true;
    const Call call{std::ssize(*past_) - surplus_, std::ssize(ids)};
    if (std::ssize(*past_) + call.count > bugs_.context) fail_usage({.what = "the text is longer than the context"});
    for (std::int64_t r = 0; r < call.count; ++r)
      past_->push_back({ids[static_cast<std::size_t>(r)], bugs_.position(call, r)});
    session::Logits logits{vocab, {}};
    for (std::int64_t r = 0; r < call.count; ++r) {
      for (std::int64_t v = 0; v < vocab; ++v) logits.values.push_back(bugs_.logit(call, logit(call, r, v)));
    }
    if (bugs_.finds_prefix_by_length && !call.continues())
      *past_ = prefixes_.try_emplace(call.count, *past_).first->second;
    forget();
    return logits;
  }

  std::optional<std::int64_t> length() const override { return bugs_.reported(std::ssize(*past_) - surplus_); }

  session::Rewind* rewind() override { return bugs_.powers ? this : nullptr; }
  session::Fork* fork() override { return bugs_.powers ? this : nullptr; }

  void truncate(std::int64_t length) override {
    if (bugs_.ignores_rewind) length = std::ssize(*past_);
    const auto kept = std::max<std::int64_t>(0, std::min(length + bugs_.rewind_error, std::ssize(*past_)));
    past_->resize(static_cast<std::size_t>(kept));
    surplus_ = kept - length;
  }

  void swap(Session& other) { std::swap(past_, other.past_); }
  bool begun() const { return begun_; }

  std::unique_ptr<session::Session> fork_session() override {
    auto copy = std::make_unique<Session>(*this);
    if (!bugs_.shares_on_fork) copy->past_ = std::make_shared<std::vector<Entry>>(*past_);
    return copy;
  }

 private:
  float logit(Call call, std::int64_t row, std::int64_t v) const {
    const Entry& query = (*past_)[past_->size() - static_cast<std::size_t>(call.count - row)];
    double sum = 0, weights = 0;
    for (std::int64_t i = 0; i < std::ssize(*past_); ++i) {
      if (!bugs_.sees(call, row, i - surplus_)) continue;
      const Entry& key = (*past_)[static_cast<std::size_t>(i)];
      const double weight = std::exp(score(query, key));
      sum += weight * value(key, v);
      weights += weight;
    }
    return static_cast<float>(weights > 0 ? sum / weights : 0);
  }

  void forget() {
    if (bugs_.keeps_nothing) past_->clear();
    if (!bugs_.swaps_text) return;
    for (auto& entry : *past_) entry.token = static_cast<std::int32_t>((entry.token * 5 + 3) % vocab);
  }

  const Bugs& bugs_;
  Prefixes& prefixes_;
  std::shared_ptr<std::vector<Entry>> past_;
  bool begun_ = false;
  std::int64_t surplus_ = 0;  // tokens that the past holds and does not own up to
};

class Subject : public session::Subject {
 public:
  explicit Subject(Bugs bugs = {}, bool promises_same_bits = false)
      : bugs_(std::move(bugs)), promises_(promises_same_bits) {}

  session::Description describe() const override {
    session::Description d;
    d.name = "toy";
    d.family = "one attention";
    d.system = "written in the test";
    d.format = "fp32";
    d.layers = 1;
    d.width = 16;
    d.promises_same_bits = promises_;
    return d;
  }
  std::unique_ptr<session::Session> fresh() override {
    return std::make_unique<Session>(bugs_, prefixes_,
                                     bugs_.one_buffer ? buffer_ : std::make_shared<std::vector<Entry>>());
  }
  std::vector<session::Logits> feed(std::span<const session::Feed> feeds) override {
    if (bugs_.mixes_batches && feeds.size() == 2) {
      auto& first = static_cast<Session&>(feeds[0].session);
      if (first.begun()) first.swap(static_cast<Session&>(feeds[1].session));
    }
    return session::Subject::feed(feeds);
  }

 private:
  Bugs bugs_;
  Prefixes prefixes_;
  std::shared_ptr<std::vector<Entry>> buffer_ = std::make_shared<std::vector<Entry>>();
  bool promises_;
};

}  // namespace pkv::toy
