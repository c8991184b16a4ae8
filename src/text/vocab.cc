#include "text/vocab.h"

#include <algorithm>
#include <functional>

namespace pkv::text {

std::size_t Vocab::slot_of(std::string_view token) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(token)&mask;
  while (slots_[slot] != 0 && text(entries_[slots_[slot] - 1]) != token) slot = (slot + 1) & mask;
  return slot;
}

void Vocab::grow() {
  slots_.assign(std::max<std::size_t>(64, 2 * slots_.size()), 0);
  for (std::uint32_t i = 0; i < entries_.size(); ++i) slots_[slot_of(text(entries_[i]))] = i + 1;
}

bool Vocab::add(std::string_view token, std::int32_t id) {
  if (2 * entries_.size() >= slots_.size()) grow();
  const std::size_t slot = slot_of(token);
  if (slots_[slot] != 0) return false;
  entries_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(token.size()), id});
  bytes_ += token;
  slots_[slot] = static_cast<std::uint32_t>(entries_.size());
  return true;
}

std::optional<std::int32_t> Vocab::close() {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
  std::fill(slots_.begin(), slots_.end(), 0);
  for (std::uint32_t i = 0; i < entries_.size(); ++i) slots_[slot_of(text(entries_[i]))] = i + 1;
  const auto twin =
      std::adjacent_find(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id == b.id; });
  if (twin != entries_.end()) return twin->id;
  return std::nullopt;
}

std::optional<std::int32_t> Vocab::id(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const std::uint32_t index = slots_[slot_of(token)];
  if (index == 0) return std::nullopt;
  return entries_[index - 1].id;
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
