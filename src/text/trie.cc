#include "text/trie.h"

#include <algorithm>
#include <numeric>

namespace pkv::text {

Trie::Index Trie::child(Index node, unsigned char byte) const {
  const auto it = children_.find(static_cast<std::uint64_t>(node) << 8 | byte);
  return it == children_.end() ? kNone : it->second;
}

// The longest suffix of the node's prefix and `byte` that is a node.
Trie::Index Trie::step(Index node, unsigned char byte) const {
  while (true) {
    const Index next = child(node, byte);
    if (next != kNone) return next;
    if (node == kRoot) return kRoot;
    node = nodes_[node].fallback;
  }
}

bool Trie::add(std::string_view word, std::size_t value) {
  Index node = kRoot;
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    Index next = child(node, byte);
    if (next == kNone) {
      next = static_cast<Index>(nodes_.size());
      children_[static_cast<std::uint64_t>(node) << 8 | byte] = next;
      nodes_.push_back({.parent = node, .byte = byte, .depth = nodes_[node].depth + 1});
    }
    node = next;
  }
  starts_.set(static_cast<unsigned char>(word.front()));
  if (nodes_[node].word == node) return false;
  nodes_[node].word = node;
  nodes_[node].value = value;
  return true;
}

void Trie::close() {
  std::vector<Index> order(nodes_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return nodes_[a].depth < nodes_[b].depth; });
  for (const Index i : order) {
    Node& n = nodes_[i];
    if (n.depth > 1) n.fallback = step(nodes_[n.parent].fallback, n.byte);
    if (n.word == kNone) n.word = nodes_[n.fallback].word;
  }
}

std::optional<Trie::Found> Trie::find(std::string_view text, std::size_t from) const {
  std::optional<Found> best;
  Index node = kRoot;
  for (std::size_t at = from; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (node == kRoot && !best && !starts_.test(byte)) continue;
    node = step(node, byte);
    const std::size_t end = at + 1;
    // Whatever may still match starts where the node's prefix starts, or later.
    if (best && end - nodes_[node].depth > best->begin) return best;
    const Index word = nodes_[node].word;
    if (word == kNone) continue;
    const std::size_t begin = end - nodes_[word].depth;
    if (!best || begin <= best->begin) best = {begin, end, nodes_[word].value};
  }
  return best;
}

}  // namespace pkv::text
