#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <functional>

namespace pkv::text {

std::uint32_t Vocab::hash_of(std::string_view token) {
  const std::uint64_t hash = std::hash<std::string_view>{}(token);
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

std::size_t Vocab::slot_of(std::string_view token, std::uint32_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  for (; slots_[slot].index != 0; slot = (slot + 1) & mask) {
    if (slots_[slot].hash == hash && text(entries_[slots_[slot].index - 1]) == token) break;
  }
  return slot;
}

void Vocab::fill_slots() {
  std::fill(slots_.begin(), slots_.end(), Slot{});
  const std::size_t mask = slots_.size() - 1;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = entries_[i].hash & mask;
    while (slots_[slot].index != 0) slot = (slot + 1) & mask;
    slots_[slot] = {i + 1, entries_[i].hash};
  }
}

bool Vocab::add(std::string_view token, std::int32_t id) {
  if (2 * entries_.size() >= slots_.size()) {
    slots_.resize(std::max<std::size_t>(64, 4 * slots_.size()));
    fill_slots();
  }
  const std::uint32_t hash = hash_of(token);
  const std::size_t slot = slot_of(token, hash);
  if (slots_[slot].index != 0) return false;
  entries_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(token.size()), id, hash});
  bytes_ += token;
  slots_[slot] = {static_cast<std::uint32_t>(entries_.size()), hash};
  return true;
}

std::optional<std::int32_t> Vocab::close() {
  const auto by_id = [](const Entry& a, const Entry& b) { return a.id < b.id; };
  if (!std::is_sorted(entries_.begin(), entries_.end(), by_id)) {
    std::sort(entries_.begin(), entries_.end(), by_id);
    fill_slots();
  }
  const auto twin =
      std::adjacent_find(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id == b.id; });
  if (twin != entries_.end()) return twin->id;
  return std::nullopt;
}

std::optional<std::int32_t> Vocab::id(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const std::uint32_t index = slots_[slot_of(token, hash_of(token))].index;
  if (index == 0) return std::nullopt;
  return entries_[index - 1].id;
}

void Vocab::ids(std::span<const std::string_view> tokens, std::span<std::int32_t> ids) const {
  std::array<std::uint32_t, kAtOnce> hashes, indexes;
  const std::size_t mask = slots_.empty() ? 0 : slots_.size() - 1;
  for (std::size_t from = 0; from < tokens.size(); from += kAtOnce) {
    const std::size_t count = slots_.empty() ? 0 : std::min(kAtOnce, tokens.size() - from);
    for (std::size_t i = 0; i < count; ++i) {
      hashes[i] = hash_of(tokens[from + i]);
      __builtin_prefetch(&slots_[hashes[i] & mask]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      indexes[i] = slots_[hashes[i] & mask].index;
      if (indexes[i] != 0) __builtin_prefetch(&entries_[indexes[i] - 1]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (indexes[i] != 0) __builtin_prefetch(bytes_.data() + entries_[indexes[i] - 1].begin);
    }
    for (std::size_t i = from; i < std::min(from + kAtOnce, tokens.size()); ++i) ids[i] = id(tokens[i]).value_or(-1);
  }
}

std::optional<std::string_view> Vocab::token(std::int32_t id) const {
  // Ids are nearly always 0, 1, 2, ... without a gap, so the id is its own index.
  if (id >= 0 && id < size() && entries_[static_cast<std::size_t>(id)].id == id) {
    return text(entries_[static_cast<std::size_t>(id)]);
  }
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), id,
                                   [](const Entry& e, std::int32_t wanted) { return e.id < wanted; });
  if (it == entries_.end() || it->id != id) return std::nullopt;
  return text(*it);
}

}  // namespace pkv::text
