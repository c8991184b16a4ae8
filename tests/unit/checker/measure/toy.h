// A system whose times and logits are known: a call costs a second and a tenth of one for each token fed, restoring a
// saved past half a second, from the disk two. Logits are a function of all tokens so far.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "checker/measure/measure.h"

namespace pkv::measure {

using session::Logits;
using session::SavedPast;
using session::Session;

struct Toy : session::Subject, Costs {
  double now = 0;
  std::int64_t longest = 0;
  bool can_save = true, leaves_memory = true;
  std::int64_t wrong_from = -1;  // texts of that many tokens fed in one call get other logits
  bool wrong_saved = false;      // restored pasts give other logits
  bool not_a_number = false;
  std::int64_t wrong_after = -1;  // calls from which on all logits are others
  std::int64_t keeps = -1;        // which request to leave memory is not heeded
  std::int64_t requests = 0;
  double slower = 0;  // share of its time that each call takes longer than the one before it
  std::vector<std::pair<std::int64_t, std::int64_t>> calls;  // past, tokens

  static constexpr double kCall = 1, kToken = 0.1, kRestore = 0.5, kDisk = 2;

  bool can_fork = true;

  session::Description describe() const override {
    return {.name = "toy",
            .family = "Toy",
            .system = "a clock",
            .format = "fp32",
            .past_format = "fp16",
            .vocab = 11,
            .longest = longest,
            .longest_is = "the toy's context"};
  }
  std::unique_ptr<Session> fresh() override;
  double weight_bytes() const override { return 1000; }
  double layer_fmas() const override { return 100; }
  double output_fmas() const override { return 10; }
  double step_bytes(std::int64_t past) const override { return 1000.0 + 2.0 * static_cast<double>(past); }
  double call_fmas(std::int64_t, std::int64_t tokens) const override { return 100.0 * static_cast<double>(tokens); }
  Clock clock() {
    return [this] { return now; };
  }
};

struct ToySession : Session, session::Fork, session::Rewind, session::Save {
  Toy& toy;
  std::vector<std::int32_t> ids;
  bool wrong = false;

  explicit ToySession(Toy& t) : toy(t) {}
  Logits feed(std::span<const std::int32_t> more) override {
    toy.calls.emplace_back(std::ssize(ids), std::ssize(more));
    toy.now += (Toy::kCall + Toy::kToken * static_cast<double>(more.size())) *
               (1 + toy.slower * static_cast<double>(toy.calls.size()));
    ids.insert(ids.end(), more.begin(), more.end());
    const bool other = wrong || (toy.wrong_after >= 0 && std::ssize(toy.calls) > toy.wrong_after) ||
                       (toy.wrong_from >= 0 && std::ssize(more) >= toy.wrong_from);
    std::uint64_t seed = other ? 99 : 7;
    for (const std::int32_t id : ids) seed = random_bits(seed, static_cast<std::uint64_t>(id));
    Logits logits{.vocab = 11, .values = {}};
    for (std::uint64_t i = 0; i < 11; ++i) logits.values.push_back(random_signed(seed, i));
    if (toy.not_a_number) logits.values[3] = 0.0f / 0.0f;
    return logits;
  }
  session::Fork* fork() override { return toy.can_fork ? this : nullptr; }
  session::Rewind* rewind() override { return toy.can_fork ? this : nullptr; }
  session::Save* save() override { return toy.can_save ? this : nullptr; }
  std::unique_ptr<Session> fork_session() override { return std::make_unique<ToySession>(*this); }
  std::unique_ptr<SavedPast> save_past() override;
  void truncate(std::int64_t length) override { ids.resize(static_cast<std::size_t>(length)); }
};

struct ToySaved : SavedPast {
  ToySession session;
  bool in_memory = true;

  explicit ToySaved(const ToySession& s) : session(s) {}
  std::uint64_t bytes() const override { return 4 * session.ids.size(); }
  std::unique_ptr<Session> restore() override {
    session.toy.now += in_memory ? Toy::kRestore : Toy::kDisk;
    in_memory = true;
    auto restored = std::make_unique<ToySession>(session);
    restored->wrong = session.toy.wrong_saved;
    return restored;
  }
  bool leave_memory() override {
    in_memory = !session.toy.leaves_memory || session.toy.requests++ == session.toy.keeps;
    return !in_memory;
  }
};

inline std::unique_ptr<Session> Toy::fresh() { return std::make_unique<ToySession>(*this); }

inline std::unique_ptr<SavedPast> ToySession::save_past() {
  toy.now += 3;
  return std::make_unique<ToySaved>(*this);
}

// Reads 4,000 bytes and does 500 multiply-adds a second.
struct ToyMachine : Machine {
  double read_rate() override { return 4000; }
  double fma_rate() override { return 500; }
  std::uint64_t peak_memory() override { return 123'000'000; }
};

inline std::vector<std::int32_t> toy_text(std::int64_t count) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>(random_bits(5, static_cast<std::uint64_t>(i)) % 11));
  }
  return ids;
}

inline Result measured(Toy& toy, Options options) {
  ToyMachine machine;
  options.clock = toy.clock();
  return run(toy, {&toy, &machine}, toy_text(text_needed(options)), options);
}

}  // namespace pkv::measure
