#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/json_node.h"
#include "base/utf8.h"

namespace pkv::text {
namespace {

constexpr std::size_t kCacheSlots = 1 << 14;
constexpr std::size_t kCachedWordSize = 64;     // longer words are rare and not worth the space
constexpr std::size_t kCacheBytes = 1 << 20;    // of words and of ids each; when full, start anew
constexpr std::size_t kBytesPerCacheSlot = 16;  // a short text does not pay for a big table

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

std::uint64_t random_bits() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

}  // namespace

Merges::Merges() : key_(random_bits()), factor_(random_bits() | 1) {}

std::size_t Merges::first_slot(std::uint64_t pair) const {
  std::uint64_t mixed = (pair ^ key_) * factor_;
  mixed = (mixed ^ mixed >> 32) * factor_;
  return mixed >> 32 & (slots_.size() - 1);
}

void Merges::prefetch(std::int32_t left, std::int32_t right) const {
  __builtin_prefetch(&slots_[first_slot(pair_of(left, right))], 1);
}

std::size_t Merges::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = first_slot(pair);
  while (slots_[slot].pair != pair && slots_[slot].pair != kFree) slot = (slot + 1) & mask;
  return slot;
}

void Merges::set(std::int32_t left, std::int32_t right, Rule rule) {
  if (2 * count_ >= slots_.size()) resize(2 * slots_.size());
  const std::uint64_t pair = pair_of(left, right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == kFree) ++count_;
  slot = {pair, rule};
}

void Merges::reserve(std::size_t rules) {
  if (2 * rules > slots_.size()) resize(std::bit_ceil(2 * rules));
}

void Merges::resize(std::size_t slots) {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots));
  for (const Slot& s : old) {
    if (s.pair != kFree) slots_[slot_of(s.pair)] = s;
  }
}

const Merges::Rule* Merges::find(std::int32_t left, std::int32_t right) const {
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.pair == kFree ? nullptr : &slot.rule;
}

void Bpe::prepare() {
  for (std::size_t c = 0; c < of_char.size(); ++c) {
    std::string character;
    append_utf8(character, static_cast<char32_t>(c));
    of_char[c] = vocab.id(character).value_or(-1);
  }
  for (std::size_t b = 0; b < of_byte.size(); ++b) of_byte[b] = vocab.id(fmt::format("<0x{:02X}>", b)).value_or(-1);
}

BpeEncoder::BpeEncoder(const Bpe& bpe, std::size_t expected)
    : bpe_(bpe), cache_(std::bit_floor(std::min(expected / kBytesPerCacheSlot, kCacheSlots))) {}

void BpeEncoder::encode(std::string_view word, std::vector<std::int32_t>& ids) {
  if (word.empty()) return;
  if (bpe_.ignore_merges) {
    if (const auto id = bpe_.vocab.id(word)) return ids.push_back(*id);
  }
  if (cache_.empty() || word.size() > kCachedWordSize) return merge_word(word, ids);
  const std::uint64_t hash = std::hash<std::string_view>{}(word);
  Cached& slot = cache_[hash & (cache_.size() - 1)];
  if (slot.count != 0 && slot.hash == hash && std::string_view(words_).substr(slot.word, slot.size) == word) {
    const auto first = cached_ids_.begin() + slot.first;
    ids.insert(ids.end(), first, first + slot.count);
    return;
  }
  const std::size_t before = ids.size();
  merge_word(word, ids);
  remember(slot, hash, word, ids.data() + before, ids.size() - before);
}

void BpeEncoder::remember(Cached& slot, std::uint64_t hash, std::string_view word, const std::int32_t* ids,
                          std::size_t count) {
  if (count == 0) return;
  if (words_.size() + word.size() > kCacheBytes || (cached_ids_.size() + count) * sizeof *ids > kCacheBytes) {
    std::fill(cache_.begin(), cache_.end(), Cached{});
    words_.clear();
    cached_ids_.clear();
  }
  slot = {hash, static_cast<std::uint32_t>(words_.size()), static_cast<std::uint32_t>(word.size()),
          static_cast<std::uint32_t>(cached_ids_.size()), static_cast<std::uint32_t>(count)};
  words_ += word;
  cached_ids_.insert(cached_ids_.end(), ids, ids + count);
}

void BpeEncoder::merge_word(std::string_view word, std::vector<std::int32_t>& ids) {
  symbols_.clear();
  split(word);
  merge_all();
  for (const Symbol& s : symbols_) {
    if (!s.merged_away) ids.push_back(s.id);
  }
}

void BpeEncoder::split(std::string_view word) {
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t size = decode_at(word, at).size;
    const bool first = at == 0, last = at + size == word.size();
    const std::string_view character = word.substr(at, size);
    at += size;
    const std::int32_t id = id_of(character, first, last);
    if (id >= 0) {
      if (unknown_) add(*std::exchange(unknown_, std::nullopt));
      add(id);
    } else if (!bpe_.byte_fallback || !fall_back_to_bytes(character, first, last)) {
      add_unknown();
    }
  }
  if (unknown_) add(*std::exchange(unknown_, std::nullopt));
}

std::int32_t BpeEncoder::id_of(std::string_view character, bool first, bool last) {
  const bool bare = (first || bpe_.continuing_subword_prefix.empty()) && (!last || bpe_.end_of_word_suffix.empty());
  if (bare) {
    const char32_t code = decode_at(character, 0).code;
    if (code < bpe_.of_char.size()) return bpe_.of_char[code];
    return bpe_.vocab.id(character).value_or(-1);
  }
  scratch_.clear();
  if (!first) scratch_ += bpe_.continuing_subword_prefix;
  scratch_ += character;
  if (last) scratch_ += bpe_.end_of_word_suffix;
  return bpe_.vocab.id(scratch_).value_or(-1);
}

// The bytes of prefix and suffix fall back too. An unknown seen before stays behind the bytes: so does the library.
bool BpeEncoder::fall_back_to_bytes(std::string_view character, bool first, bool last) {
  scratch_.clear();
  if (!first) scratch_ += bpe_.continuing_subword_prefix;
  scratch_ += character;
  if (last) scratch_ += bpe_.end_of_word_suffix;
  const auto of = [&](char c) { return bpe_.of_byte[static_cast<unsigned char>(c)]; };
  if (std::any_of(scratch_.begin(), scratch_.end(), [&](char c) { return of(c) < 0; })) return false;
  for (const char c : scratch_) add(of(c));
  return true;
}

// Without an unk_token, a character that the vocabulary lacks is dropped.
void BpeEncoder::add_unknown() {
  if (!bpe_.unk_token) return;
  const auto id = bpe_.vocab.id(*bpe_.unk_token);
  if (!id) {
    fail_load({.what = "a character of the text is not in the vocabulary, and neither is the unknown token",
               .where = "tokenizer: model.unk_token " + quote(*bpe_.unk_token)});
  }
  if (unknown_ && !bpe_.fuse_unk) add(*unknown_);
  unknown_ = *id;
}

void BpeEncoder::add(std::int32_t id) {
  const auto index = static_cast<std::int32_t>(symbols_.size());
  if (index > 0) symbols_.back().next = index;
  symbols_.push_back({id, index - 1, -1, false});
}

// Queues the pair that starts at symbol `left`, if a rule merges it.
void BpeEncoder::consider(std::int32_t left) {
  if (left < 0 || symbols_[left].next < 0) return;
  const Merges::Rule* rule = bpe_.merges.find(symbols_[left].id, symbols_[symbols_[left].next].id);
  if (rule == nullptr) return;
  heap_.push_back({rule->rank, static_cast<std::uint32_t>(left), rule->merged});
  std::push_heap(heap_.begin(), heap_.end());
}

void BpeEncoder::merge_all() {
  heap_.clear();
  for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols_.size()); ++i) consider(i);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate best = heap_.back();
    heap_.pop_back();
    Symbol& left = symbols_[best.at];
    if (left.merged_away || left.next < 0) continue;
    Symbol& right = symbols_[left.next];
    const Merges::Rule* rule = bpe_.merges.find(left.id, right.id);
    if (rule == nullptr || rule->merged != best.merged) continue;  // queued before its neighbours changed
    left.id = best.merged;
    left.next = right.next;
    right.merged_away = true;
    if (left.next >= 0) symbols_[left.next].previous = static_cast<std::int32_t>(best.at);
    consider(left.previous);
    consider(static_cast<std::int32_t>(best.at));
  }
}

}  // namespace pkv::text
