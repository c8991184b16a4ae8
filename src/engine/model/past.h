// The past of one text: the keys and values of every layer for the tokens fed so far, the states of those that keep
// one, and the tokens' ids.
//
// It grows by blocks of 64 tokens and is never copied to grow. A fork shares all blocks and copies one only when it
// writes into it. After a successful forward it holds exactly the tokens that were fed; after one that failed, what it
// held before.
#pragma once

// A state cannot be cut. A forward reads the one there is and writes a new one beside it, which takes its place at the
// end; forks share it until then. Some are kept as snapshots (SnapshotRule): `truncate` goes back to the nearest, and
// the model feeds the tokens after it again with the next ones, which gives the same bits.
//
// Layers that see a window lie in blocks of their own, released once no window reaches them (release_unreached).
//
// Block format, for every backend: for each layer in turn, those that see all before those that see a window, its keys
// and its values as kernels::PastLayer lays them out, no padding. Positions that were not fed hold garbage.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/kernels/past_layer.h"
#include "engine/model/formats.h"
#include "engine/model/state_shape.h"

namespace pkv::model {

struct PastShape {
  std::int64_t layers = 0, kv_heads = 0, head_dim = 0;  // layers: of those that keep keys and values
  DType dtype = DType::f32;
  std::vector<std::int64_t> windows{};  // of these layers, as Card has them; empty: none
  std::vector<StateShape> states{};     // of the layers that keep one

  bool sees_window(std::int64_t layer) const {
    return !windows.empty() && windows[static_cast<std::size_t>(layer)] > 0;
  }
  std::int64_t widest() const;                         // window; 0: no layer has one
  std::size_t part_bytes() const;                      // the keys (or the values) of one layer in one block
  kernels::PastLayer layer(std::int64_t index) const;  // where a layer lies in each block
  std::size_t block_bytes() const { return 2 * part_bytes() * static_cast<std::size_t>(layers); }
  std::size_t window_start() const;               // in a block, of the layers that see a window
  std::size_t state_at(std::size_t index) const;  // where that of states[index] begins in the state of a text
  std::size_t state_bytes() const { return state_at(states.size()); }
  bool operator==(const PastShape&) const = default;
};

// A copy of a past in host memory, widened to fp32 and in the order of tokens.
struct PastCopy {
  PastShape shape;
  std::vector<std::int32_t> ids;
  std::vector<float> keys, values;  // [layers, kv_heads, ids.size(), head_dim]
};

class Past {
 public:
  // Tokens before the first that a window reaches whose keys are kept, so that a short way back costs nothing.
  static constexpr std::int64_t kKeptBehind = 256;

  Past(kernels::Backend backend, PastShape shape, SnapshotRule rule = {});
  Past(Past&&) noexcept = default;
  Past& operator=(Past&&) noexcept = default;

  std::int64_t length() const { return static_cast<std::int64_t>(ids_.size()); }
  std::span<const std::int32_t> ids() const { return ids_; }
  const PastShape& shape() const { return shape_; }
  std::size_t bytes() const;                    // of the blocks and states that are held, without snapshots
  std::size_t snapshot_bytes() const;           // of the states that are kept to go back to
  std::vector<std::int64_t> snapshots() const;  // the lengths of which there are some, ascending

  // The first token whose keys and values all layers hold, a whole number of blocks; length() when some have to be fed
  // again.
  std::int64_t held_from() const { return must_feed_again() ? length() : held_from_; }
  // A beginning is held, of the tokens after it the ids alone: the model feeds them again before it feeds others.
  std::int64_t held() const { return held_; }
  bool must_feed_again() const { return held_ < length(); }
  // A past of what is held: a fork of that beginning.
  Past fork_of_held();

  // Forgets all but the first `length` tokens; Error::usage when it holds fewer.
  void truncate(std::int64_t length);

  // The same of the keys and values alone, while the state stays: for faults made on purpose.
  void truncate_keys(std::int64_t length);
  std::int64_t called_from() const { return called_from_; }  // tokens that it held before the last call

  // Another past with the same content. Cheap: blocks are shared, and each of the two copies one when it writes into
  // it.
  Past fork();

  PastCopy copy_out() const;

  // Copies a block to host memory, `to` of block_bytes(). Positions that were not fed, and what was released, are
  // zeros.
  void download(std::size_t block, std::span<std::byte> to) const;

  // The state after so many tokens, of which there is a snapshot, to host memory, `to` of state_bytes().
  void download_state(std::int64_t tokens, std::span<std::byte> to) const;

  // A past of these tokens whose blocks lie in host memory that is someone else's, kept by `owner`, and is only read:
  // blocks are copied when they are to be written. `blocks` in the block format, aligned to 64 bytes; of layers that
  // see a window those from token `held_from` on. `states` likewise, [snapshots.size(), state_bytes()]: the snapshots
  // there are, in ascending order, of which the last is that of all tokens.
  struct Borrowed {
    std::span<const std::byte> blocks{};
    std::int64_t held_from = 0;
    std::span<const std::byte> states{};
    std::vector<std::int64_t> snapshots{};
  };
  static Past borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids, const Borrowed& from,
                     std::shared_ptr<const void> owner, SnapshotRule rule = {});

 private:
  friend class Pass;
  // The state after the first `tokens` tokens. Nobody changes it once a forward has succeeded.
  struct State {
    kernels::Memory memory;
    std::byte* data = nullptr;
    std::int64_t tokens = 0;
    std::shared_ptr<const void> owner = nullptr;  // of memory that is borrowed
  };
  using States = std::vector<std::shared_ptr<State>>;
  // Rows of a call after which a state is written.
  struct Piece {
    std::int64_t rows = 0;
    const std::byte* state = nullptr;  // null: all zeros
    std::byte* next = nullptr;
  };
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
  void reserve_states(std::int64_t tokens);
  std::vector<Piece> pieces() const;  // of the call that was reserved; none where no layer keeps a state
  void make_own(std::size_t block);
  std::byte* const* blocks(bool window) const { return (window ? windowed_ : whole_).table.data(); }
  void commit(std::span<const std::int32_t> ids, bool release) noexcept;  // after reserve: allocates nothing
  // Blocks that no window will reach go, but for kKeptBehind tokens. Who rewinds further finds the ids, and the model
  // feeds them again with the next tokens: the same bits, at the price of the time.
  void release_unreached() noexcept;
  std::int64_t reached_from(std::int64_t length) const;  // the first token that the next one's windows reach
  void forget_all();
  void commit_states() noexcept;
  void limit_snapshots() noexcept;
  void keep_state();  // as a snapshot

  kernels::Backend backend_;
  PastShape shape_;
  SnapshotRule rule_;
  std::vector<std::int32_t> ids_;
  Store whole_, windowed_;
  std::size_t shared_ = 0;  // blocks before this one may be other pasts' too
  std::int64_t held_from_ = 0, held_ = 0, called_from_ = 0;
  std::shared_ptr<State> state_;  // after held_ tokens; null: none, or before the first
  States snapshots_;              // by length
  States written_;                // what the next forward writes, in order; the last is that of all its tokens
};

}  // namespace pkv::model
