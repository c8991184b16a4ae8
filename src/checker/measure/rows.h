// Logits of single positions, remembered by their hash: every variant's must be those of the first run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checker/measure/result.h"

namespace pkv::measure {

// Of the one row, its ids too where only the likeliest tokens were seen; base/checksum.h. Error::load when it is none,
// or a logit is NaN: no answer, however fast.
std::uint64_t hash_of(const session::Logits& logits);

// The most likely token of the one row, the lowest id of several.
std::int32_t greedy(const session::Logits& logits);

class Rows {
 public:
  // Notes a disagreement, one for each variant and text, when the hash is another.
  void compare(std::uint64_t expected, std::uint64_t found, const std::string& variant, std::int64_t tokens);

  std::int64_t compared() const { return compared_; }
  const std::vector<Disagreement>& disagreements() const { return disagreements_; }

 private:
  std::int64_t compared_ = 0;
  std::vector<Disagreement> disagreements_;
};

}  // namespace pkv::measure
