// Finds any of a set of words in a text, at each place the longest, from left to right without overlap. Time per place
// is bounded by the longest word; a place where no word starts costs one look at a table.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace pkv::text {

class Trie {
 public:
  struct Found {
    std::size_t begin, end;
    std::size_t value;
  };

  bool add(std::string_view word, std::size_t value);  // false when it is there; words are not empty
  std::optional<Found> find(std::string_view text, std::size_t from) const;
  bool empty() const { return words_ == 0; }

 private:
  std::optional<Found> longest_at(std::string_view text, std::size_t begin) const;

  static constexpr std::uint32_t kRoot = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  // node << 8 | byte to node
  std::unordered_map<std::uint32_t, std::size_t> values_;
  std::bitset<256> starts_;
  std::uint32_t nodes_ = 1;
  std::size_t words_ = 0;
};

}  // namespace pkv::text
