#include "checker/recorded/subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "checker/run/inside.h"

namespace pkv::check {
namespace {

bool has_states(const Recording& r) { return !r.states.layers.empty(); }

std::string later(std::int64_t first) { return fmt::format("later.{}", first); }

// Positions first .. of a run; zeros for those that not both runs hold.
Logits rows_of(const Recording& run, const Recording& other, std::int64_t first, std::int64_t count) {
  Logits some{run.logits.vocab, std::vector<float>(static_cast<std::size_t>(count * run.logits.vocab))};
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t at = run.row_of(first + r);
    if (at < 0 || other.row_of(first + r) < 0) continue;
    std::ranges::copy(run.logits.row(at), some.values.begin() + r * some.vocab);
  }
  return some;
}

class RecordedSession : public Session, Look {
 public:
  RecordedSession(const Recording& without, const Recording& with) : without_(without), with_(with) {}

  Logits feed(std::span<const std::int32_t> ids) override { return answer(ids, nullptr); }
  void skip(std::span<const std::int32_t> ids) override { fed_.insert(fed_.end(), ids.begin(), ids.end()); }
  std::optional<std::int64_t> length() const override { return std::ssize(fed_); }
  Look* look() override { return has_states(without_) && has_states(with_) ? this : nullptr; }

 private:
  Logits feed_and_look(std::span<const std::int32_t> ids, States& states) override { return answer(ids, &states); }

  // Of the rows first .. of a run.
  static States rows(const States& all, std::int64_t first, std::int64_t count) {
    States some{.width = all.width, .layers = {}, .attended = {}};
    for (const auto& layer : all.layers) {
      const auto from = layer.begin() + first * all.width;
      some.layers.emplace_back(from, from + count * all.width);
    }
    return some;
  }

  Logits answer(std::span<const std::int32_t> ids, States* states) {
    const auto first = std::ssize(fed_), count = std::ssize(ids);
    skip(ids);
    const auto [at, end] = std::mismatch(fed_.begin(), fed_.end(), without_.ids.begin(), without_.ids.end());
    if (at != fed_.end() && first == 0) return changed(at - fed_.begin(), states);
    if (at != fed_.end()) fail_internal({.what = "a recording was asked for what it does not hold"});
    const Recording& run = first == 0 ? without_ : with_;
    if (states != nullptr) *states = rows(run.states, first, count);
    return rows_of(run, first == 0 ? with_ : without_, first, count);
  }

  // Only what comes before the change was recorded; the rest is no number.
  Logits changed(std::int64_t from, States* states) const {
    static const Probes none;
    const Probes& probes = with_.probes ? *with_.probes : none;
    const auto run = probes.runs.find(later(from));
    if (run == probes.runs.end()) {
      fail_internal({.what = "a recording was asked for what it does not hold", .where = later(from)});
    }
    const auto seen = probes.states.find(later(from));
    const float none_there = std::numeric_limits<float>::quiet_NaN();
    const auto fill = [&](std::vector<float>& values, std::int64_t width) {
      values.resize(fed_.size() * static_cast<std::size_t>(width), none_there);
    };
    if (states != nullptr && seen != probes.states.end()) {
      *states = seen->second;
      for (auto& layer : states->layers) fill(layer, states->width);
    }
    const auto at = probes.at.find(later(from));
    if (at == probes.at.end()) {
      Logits logits = run->second;
      fill(logits.values, logits.vocab);
      return logits;
    }
    // Those that were not recorded are as they were, for all that is known.
    Logits logits = rows_of(without_, with_, 0, std::ssize(fed_));
    std::fill(logits.values.begin() + from * logits.vocab, logits.values.end(), none_there);
    for (std::size_t r = 0; r < at->second.size(); ++r) {
      const std::int64_t place = at->second[r];
      if (without_.row_of(place) < 0 || with_.row_of(place) < 0) continue;
      std::ranges::copy(run->second.row(static_cast<std::int64_t>(r)), logits.values.begin() + place * logits.vocab);
    }
    return logits;
  }

  const Recording &without_, &with_;
  std::vector<std::int32_t> fed_;
};

}  // namespace

bool has_causality_runs(const Recording& with) {
  if (!with.probes) return false;
  return std::ranges::all_of(changed_for_causality(std::ssize(with.ids)),
                             [&](std::int64_t i) { return with.probes->runs.contains(later(i)); });
}

Logits RecordedSubject::whole_text() const { return rows_of(without_, with_, 0, std::ssize(without_.ids)); }

std::unique_ptr<Session> RecordedSubject::fresh() { return std::make_unique<RecordedSession>(without_, with_); }

}  // namespace pkv::check
