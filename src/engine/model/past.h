// The past of one text: the keys and values of every layer for the tokens fed so far, and those tokens' ids.
//
// It grows by blocks of 64 tokens and is never copied to grow. A fork shares all blocks and copies one only when it
// writes into it. After a successful forward it holds exactly the tokens that were fed; after one that failed, what it
// held before.
//
// Layers that see a window lie in blocks of their own, released once no window reaches them (release_unreached).
//
// Block format, for every backend: for each layer in turn, those that see all before those that see a window, its keys
// and its values as kernels::PastLayer lays them out, no padding. Positions that were not fed hold garbage.
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
  std::vector<std::int64_t> windows{};  // by layer, as Card has them; empty: none

  bool sees_window(std::int64_t layer) const {
    return !windows.empty() && windows[static_cast<std::size_t>(layer)] > 0;
  }
  std::int64_t widest() const;                         // window; 0: no layer has one
  std::size_t part_bytes() const;                      // the keys (or the values) of one layer in one block
  kernels::PastLayer layer(std::int64_t index) const;  // where a layer lies in each block
  std::size_t block_bytes() const { return 2 * part_bytes() * static_cast<std::size_t>(layers); }
  std::size_t window_start() const;  // in a block, of the layers that see a window
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
  // Tokens before the first that a window reaches whose keys are kept, so that a short way back costs nothing.
  static constexpr std::int64_t kKeptBehind = 256;

  Past(kernels::Backend backend, PastShape shape);
  Past(Past&&) noexcept = default;
  Past& operator=(Past&&) noexcept = default;

  std::int64_t length() const { return static_cast<std::int64_t>(ids_.size()); }
  std::span<const std::int32_t> ids() const { return ids_; }
  const PastShape& shape() const { return shape_; }
  std::size_t bytes() const;  // of the blocks that are held

  // The first token whose keys and values all layers hold, a whole number of blocks; length() when they have to be fed
  // again.
  std::int64_t held_from() const { return must_feed_again_ ? length() : held_from_; }
  bool must_feed_again() const { return must_feed_again_; }

  // Forgets all but the first `length` tokens; Error::usage when it holds fewer.
  void truncate(std::int64_t length);

  // Another past with the same content. Cheap: blocks are shared, and each of the two copies one when it writes into
  // it.
  Past fork();

  PastSnapshot snapshot() const;

  // Copies a block to host memory, `to` of block_bytes(). Positions that were not fed, and what was released, are
  // zeros.
  void download(std::size_t block, std::span<std::byte> to) const;

  // A past of these tokens whose blocks lie in host memory that is someone else's, kept by `owner`, and is only read:
  // blocks are copied when they are to be written. `blocks` in the block format, aligned to 64 bytes; of layers that
  // see a window those from token `held_from` on.
  static Past borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids,
                     std::span<const std::byte> blocks, std::shared_ptr<const void> owner, std::int64_t held_from = 0);

 private:
  friend class Pass;
  struct Block {
    kernels::Memory memory;
    std::shared_ptr<const void> owner = nullptr;  // of memory that is borrowed
  };

  // The blocks of the layers that see all, or of those that see a window: `bytes` of each block from `start` on.
  struct Store {
    std::size_t start = 0, bytes = 0;
    std::vector<std::shared_ptr<Block>> blocks;  // null: released
    std::vector<std::byte*> table;               // where each block would begin, if it had all layers; null: released
  };

  // Makes room for `tokens` more, in blocks that are this past's own. What it holds does not change.
  void reserve(std::int64_t tokens);
  void reserve(Store& store, std::size_t end);
  void make_own(std::size_t block);
  std::byte* const* blocks(bool window) const { return (window ? windowed_ : whole_).table.data(); }
  void commit(std::span<const std::int32_t> ids, bool release) noexcept;  // after reserve: allocates nothing
  // Blocks that no window will reach go, but for kKeptBehind tokens. Who rewinds further finds the ids, and the model
  // feeds them again with the next tokens: the same bits, at the price of the time.
  void release_unreached() noexcept;
  std::int64_t reached_from(std::int64_t length) const;  // the first token that the next one's windows reach
  void forget_blocks();

  kernels::Backend backend_;
  PastShape shape_;
  std::vector<std::int32_t> ids_;
  Store whole_, windowed_;
  std::size_t shared_ = 0;  // blocks before this one may be other pasts' too
  std::int64_t held_from_ = 0;
  bool must_feed_again_ = false;
};

}  // namespace pkv::model
