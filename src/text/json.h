// Reads tokenizer.json and vocab.json without trust: nesting, number of values, types and duplicate keys are checked
// while reading, and the two big parts, vocabulary and merges, go straight into compact form and never into a document
// tree, so that memory stays below the text's size and a constant. JsonNode reads the rest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/vocab.h"

namespace pkv::text {

inline constexpr std::uint64_t kLargestTokenizerFile = 256 << 20;  // bytes

// Merge rules in the order of the file, spelled as tokens.
class MergeList {
 public:
  static constexpr std::size_t kMost = 1 << 22;

  void reserve_bytes(std::size_t n) { bytes_.reserve(n); }  // of all tokens; pages not written cost nothing
  // False when there are kMost already. Ranks are those of the order in which merges are added.
  bool add(std::string_view left, std::string_view right);
  bool add(std::string_view left, std::string_view right, std::uint32_t rank);
  std::size_t size() const { return items_.size(); }
  std::string_view left(std::size_t i) const;
  std::string_view right(std::size_t i) const;
  std::uint32_t rank(std::size_t i) const { return items_[i].rank; }

 private:
  struct Item {
    std::uint32_t begin, left, right;  // in bytes_: where, and the sizes
    std::uint32_t rank;
  };
  std::string bytes_;
  std::vector<Item> items_;
};

struct TokenizerFile {
  Json rest;    // everything but model.vocab and model.merges
  Vocab vocab;  // not closed
  MergeList merges;
  std::vector<double> scores;  // of a Unigram model's vocabulary, by id
  bool vocab_is_list = false;  // with scores, which may have no entries
  bool has_vocab = false, has_merges = false;
};

// `name` is only named in errors; all are load errors.
TokenizerFile read_tokenizer_json(std::string_view json, std::string_view name);
void read_vocab_json(std::string_view json, std::string_view name, Vocab& vocab);
Json read_json(std::string_view json, std::string_view name);

}  // namespace pkv::text
