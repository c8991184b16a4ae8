// The vocabulary of a model: tokens and ids, both ways, in some sixty bytes a token beyond the token's own. Fill it
// with `add`, then `close` once; afterwards it is read-only. Ids need not be contiguous. Tokens that were added to a
// trained vocabulary are elsewhere (added_tokens.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::text {

class Vocab {
 public:
  void reserve_bytes(std::size_t n) { bytes_.reserve(n); }  // of all tokens; pages not written cost nothing

  // False when the token is already there.
  bool add(std::string_view token, std::int32_t id);

  // Sorts by id. Returns an id that two tokens claim, if there is one.
  std::optional<std::int32_t> close();

  std::optional<std::int32_t> id(std::string_view token) const;
  // Of many tokens, -1 for one that is not there. Much faster than one by one where the vocabulary is large: memory is
  // asked for ahead.
  static constexpr std::size_t kAtOnce = 64;
  void ids(std::span<const std::string_view> tokens, std::span<std::int32_t> ids) const;
  std::optional<std::string_view> token(std::int32_t id) const;  // after close
  bool all_of(const auto& holds) const {
    return std::all_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return holds(text(e)); });
  }
  std::int32_t size() const { return static_cast<std::int32_t>(entries_.size()); }

 private:
  struct Entry {
    std::uint32_t begin, size;  // in bytes_
    std::int32_t id;
    std::uint32_t hash;
  };
  struct Slot {
    std::uint32_t index = 0, hash = 0;  // 1 + index into entries_, 0 is free; of the token, so that few are looked at
  };

  std::string_view text(const Entry& e) const { return std::string_view(bytes_).substr(e.begin, e.size); }
  static std::uint32_t hash_of(std::string_view token);
  std::size_t slot_of(std::string_view token, std::uint32_t hash) const;  // where it is, or where it would go
  void fill_slots();

  std::string bytes_;
  std::vector<Entry> entries_;  // in the order of the file until close, then by id
  std::vector<Slot> slots_;     // open addressing, a power of two
};

}  // namespace pkv::text
