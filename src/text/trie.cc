#include "text/trie.h"

namespace pkv::text {

bool Trie::add(std::string_view word, std::size_t value) {
  std::uint32_t node = kRoot;
  for (const char c : word) {
    const std::uint64_t edge = static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(c);
    const auto [it, fresh] = edges_.try_emplace(edge, nodes_);
    if (fresh) ++nodes_;
    node = it->second;
  }
  starts_.set(static_cast<unsigned char>(word.front()));
  ++words_;
  return values_.try_emplace(node, value).second;
}

std::optional<Trie::Found> Trie::longest_at(std::string_view text, std::size_t begin) const {
  std::optional<Found> best;
  std::uint32_t node = kRoot;
  for (std::size_t at = begin; at < text.size(); ++at) {
    const auto edge = edges_.find(static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(text[at]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto value = values_.find(node); value != values_.end()) best = {begin, at + 1, value->second};
  }
  return best;
}

std::optional<Trie::Found> Trie::find(std::string_view text, std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (!starts_.test(static_cast<unsigned char>(text[at]))) continue;
    if (auto found = longest_at(text, at)) return found;
  }
  return std::nullopt;
}

}  // namespace pkv::text
