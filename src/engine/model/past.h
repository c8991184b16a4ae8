// The past of one text: the keys and values of every layer for the tokens fed so far, and those tokens' ids.
//
// It grows by blocks of 64 tokens and is never copied to grow. A fork shares all blocks and copies one only when it
// writes into it. After a successful forward it holds exactly the tokens that were fed; after one that failed, what it
// held before.
//
// Block format, the same in memory for every backend: for each layer in turn its keys and its values as
// kernels::PastLayer lays them out, no padding. Positions that were not fed hold garbage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/kernels/past_layer.h"

namespace pkv::model {

struct PastShape {
  std::int64_t layers = 0, kv_heads = 0, head_dim = 0;
  DType dtype = DType::f32;

  std::size_t part_bytes() const;                      // the keys (or the values) of one layer in one block
  kernels::PastLayer layer(std::int64_t index) const;  // where a layer lies in each block
  std::size_t block_bytes() const { return 2 * part_bytes() * static_cast<std::size_t>(layers); }
  bool operator==(const PastShape&) const = default;
};

// A copy of a past in host memory, widened to fp32 and in the order of tokens.
struct PastSnapshot {
  PastShape shape;
  std::vector<std::int32_t> ids;
  std::vector<float> keys, values;  // [layers, kv_heads, ids.size(), head_dim]
};

class Past {
 public:
  Past(kernels::Backend backend, PastShape shape) : backend_(std::move(backend)), shape_(shape) {}
  Past(Past&&) noexcept = default;
  Past& operator=(Past&&) noexcept = default;

  std::int64_t length() const { return static_cast<std::int64_t>(ids_.size()); }
  std::span<const std::int32_t> ids() const { return ids_; }
  const PastShape& shape() const { return shape_; }
  std::size_t bytes() const { return blocks_.size() * shape_.block_bytes(); }

  // Forgets all but the first `length` tokens; Error::usage when it holds fewer.
  void truncate(std::int64_t length);

  // Another past with the same content. Cheap: blocks are shared, and each of the two copies one when it writes into
  // it.
  Past fork();

  PastSnapshot snapshot() const;

  // Copies a block to host memory, `to` of block_bytes(). Positions that were not fed are zeros.
  void download(std::size_t block, std::span<std::byte> to) const;

  // A past of these tokens whose blocks lie in host memory that is someone else's, kept by `owner`, and is only read:
  // blocks are copied when they are to be written. `blocks` in the block format, aligned to 64 bytes.
  static Past borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids,
                     std::span<const std::byte> blocks, std::shared_ptr<const void> owner);

 private:
  friend class Pass;
  struct Block {
    kernels::Memory memory;
    std::shared_ptr<const void> owner = nullptr;  // of memory that is borrowed
  };

  // Makes room for `tokens` more, in blocks that are this past's own. What it holds does not change.
  void reserve(std::int64_t tokens);
  void make_own(std::size_t block);
  std::byte* const* blocks() const { return table_.data(); }  // where each lies
  void commit(std::span<const std::int32_t> ids) noexcept;    // after reserve: allocates nothing

  kernels::Backend backend_;
  PastShape shape_;
  std::vector<std::int32_t> ids_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::byte*> table_;  // where each block lies
  std::size_t shared_ = 0;         // blocks before this one may be other pasts' too
};

}  // namespace pkv::model
