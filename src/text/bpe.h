// Byte-pair encoding: one word to ids by merging, again and again, the neighbouring pair of lowest rank, the leftmost
// first. O(n log n) in the length of the word. Equals the BPE model of the `tokenizers` library, without dropout.
// It does not split text into words; that is the pre-tokenizer's work.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace pkv::text {

// Merge rules: a pair of ids to its rank and the id of the merged token. Open addressing, 16 bytes a slot; hashed with
// random keys, so that no file can hold merges that all fall on one slot.
class Merges {
 public:
  Merges();

  struct Rule {
    std::uint32_t rank;
    std::int32_t merged;
  };

  void reserve(std::size_t rules);
  void set(std::int32_t left, std::int32_t right, Rule rule);  // the last one set for a pair counts
  const Rule* find(std::int32_t left, std::int32_t right) const;
  void prefetch(std::int32_t left, std::int32_t right) const;  // asks for the memory that `set` or `find` will look at

 private:
  struct Slot {
    std::uint64_t pair = kFree;
    Rule rule{};
  };
  static constexpr std::uint64_t kFree = ~0ULL;  // ids are not negative, so no pair looks like this
  std::size_t first_slot(std::uint64_t pair) const;
  std::size_t slot_of(std::uint64_t pair) const;
  void resize(std::size_t slots);

  std::vector<Slot> slots_ = std::vector<Slot>(64);  // a power of two
  std::size_t count_ = 0;
  std::uint64_t key_, factor_;  // the factor is odd
};

struct Bpe {
  Vocab vocab;
  Merges merges;
  std::optional<std::string> unk_token;
  std::string continuing_subword_prefix, end_of_word_suffix;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;

  // Looks up what encoding needs again and again; call once when all the above is set.
  void prepare();

  std::array<std::int32_t, 0x180> of_char{};  // id of the one-character token, or -1; covers the byte alphabet
  std::array<std::int32_t, 256> of_byte{};    // id of "<0x41>", or -1
};

// Encodes word after word with one Bpe, keeping working memory and a bounded cache of words. One thread at a time.
class BpeEncoder {
 public:
  // `expected` is about how many bytes will be encoded; it bounds the cache.
  BpeEncoder(const Bpe& bpe, std::size_t expected);

  void encode(std::string_view word, std::vector<std::int32_t>& ids);

 private:
  struct Symbol {
    std::int32_t id, previous, next;  // indexes into symbols_, -1 at the ends
    bool merged_away;
  };
  struct Candidate {
    std::uint32_t rank, at;
    std::int32_t merged;
    bool operator<(const Candidate& other) const {  // std::priority_queue order: the best candidate is the greatest
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  struct Cached {
    std::uint64_t hash = 0;
    std::uint32_t word = 0, size = 0;    // in words_
    std::uint32_t first = 0, count = 0;  // in cached_ids_; count 0 is free
  };

  void merge_word(std::string_view word, std::vector<std::int32_t>& ids);
  void split(std::string_view word);
  std::int32_t id_of(std::string_view character, bool first, bool last);
  bool fall_back_to_bytes(std::string_view character, bool first, bool last);
  void add_unknown();
  void add(std::int32_t id);
  void consider(std::int32_t left);
  void merge_all();
  void remember(Cached& slot, std::uint64_t hash, std::string_view word, const std::int32_t* ids, std::size_t count);

  const Bpe& bpe_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::string scratch_;
  std::optional<std::int32_t> unknown_;  // seen, not yet added
  std::vector<Cached> cache_;
  std::string words_;
  std::vector<std::int32_t> cached_ids_;
};

}  // namespace pkv::text
