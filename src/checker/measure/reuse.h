// Measures the first token after a prefix whose past comes from somewhere. For this room alone.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "checker/measure/bench.h"

namespace pkv::measure {

class ReuseRun {
 public:
  // `text`: the prefix and the token after it.
  explicit ReuseRun(std::span<const std::int32_t> text);

  // Once each way, untimed: `longest` holds at least the prefix.
  void explore(Bench& bench, session::Session& longest);
  void expect(Bench& bench, std::int64_t rounds) const;

  std::int64_t before() const { return reuse_.prefix; }
  void begin(Bench& bench) const { bench.subject.fresh()->feed_last(text_); }  // untimed, see GenerationRun
  bool has(Reuse::Way way) const { return available_[way]; }
  // A reading from the disk that the system answers from memory is not counted.
  void run(Bench& bench, Reuse::Way way, bool count);

  Reuse take();

 private:
  Reuse reuse_;
  std::vector<std::int32_t> text_;
  std::optional<std::uint64_t> hash_;       // of the first run
  std::unique_ptr<session::Session> base_;  // holds the prefix
  std::unique_ptr<session::SavedPast> saved_;
  bool available_[Reuse::ways]{};
  double seconds_[Reuse::ways]{};
};

}  // namespace pkv::measure
