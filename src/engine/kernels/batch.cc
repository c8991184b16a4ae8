// The record of a pass's sequences: first all Sequences, then the addresses of their blocks, one sequence after the
// other.
#include <algorithm>
#include <bit>
#include <new>

#include "engine/kernels/kernels.h"

namespace pkv::kernels {
namespace {

std::int64_t blocks_of(const Sequence& s) {
  return s.blocks == nullptr ? 0 : (s.past + s.rows + kBlockTokens - 1) / kBlockTokens;
}

}  // namespace

std::size_t batch_bytes(std::span<const Sequence> sequences) {
  std::size_t bytes = 0;
  for (const Sequence& s : sequences) bytes += sizeof s + static_cast<std::size_t>(blocks_of(s)) * sizeof *s.blocks;
  return bytes;
}

Batch write_batch(std::span<const Sequence> sequences, void* host, void* memory) noexcept {
  const std::size_t first = sequences.size_bytes();
  Batch batch{.sequences = static_cast<const Sequence*>(memory), .count = std::ssize(sequences)};
  auto* to = static_cast<Sequence*>(host);
  auto* addresses = reinterpret_cast<std::byte**>(static_cast<std::byte*>(host) + first);
  auto* there = reinterpret_cast<std::byte* const*>(static_cast<std::byte*>(memory) + first);
  std::int64_t most = 1;
  for (const Sequence& s : sequences) {
    const std::int64_t blocks = blocks_of(s);
    std::copy_n(s.blocks, blocks, addresses);
    Sequence* written = new (to++) Sequence(s);
    written->blocks = there;
    addresses += blocks, there += blocks;
    batch.rows += s.rows;
    batch.most_rows = std::max(batch.most_rows, s.rows);
    most = std::max(most, blocks);
  }
  batch.most_blocks = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(most)));
  return batch;
}

}  // namespace pkv::kernels
