// Finds any of a set of words in a text, from left to right without overlap: the leftmost, and of those that start
// there the longest. The automaton of Aho and Corasick (1975): time is linear in the text, whatever the words. Takes
// about 80 bytes of memory for each byte of the words.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pkv::text {

class Trie {
 public:
  struct Found {
    std::size_t begin, end;
    std::size_t value;
  };

  bool add(std::string_view word, std::size_t value);  // false when it is there; words are not empty
  void close();                                        // after the last add, before the first find
  std::optional<Found> find(std::string_view text, std::size_t from) const;
  bool empty() const { return nodes_.size() == 1; }

 private:
  using Index = std::uint32_t;
  static constexpr Index kRoot = 0, kNone = ~Index{0};

  // A node is a prefix of words.
  struct Node {
    Index parent = kRoot;
    unsigned char byte = 0;  // the last one of the prefix
    std::uint32_t depth = 0;
    Index fallback = kRoot;  // the longest proper suffix that is a node
    Index word = kNone;      // the longest suffix, or all of it, that is a word
    std::size_t value = 0;   // of the word that it is
  };

  Index child(Index node, unsigned char byte) const;
  Index step(Index node, unsigned char byte) const;

  std::vector<Node> nodes_{Node{}};
  std::unordered_map<std::uint64_t, Index> children_;  // node << 8 | byte
  std::bitset<256> starts_;
};

}  // namespace pkv::text
