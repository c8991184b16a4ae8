// Deviation: the rows of one call that are computed wrongly on purpose (fault.h), and how. A Pass holds a pointer to
// one, null as a rule, and asks it at the few places where a fault can show. Rows without a fault take the ordinary
// way and get the ordinary bits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/kernels/call.h"
#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/faults/fault.h"
#include "engine/model/feed.h"

namespace pkv::model {

class Deviation {
 public:
  // None when no row of these feeds has a fault. `backend`, `card` and the faults outlive it.
  static std::optional<Deviation> of(const kernels::Backend& backend, const Card& card, std::span<const Feed> feeds);

  // Changes the positions [rows] of a call's tokens; `first` is what the first token of a text has.
  void misplace(std::span<std::int32_t> positions, std::int32_t first) const;
  // Changes the positions by which queries and keys will be rotated.
  void misplace_rotary(std::span<std::int32_t> positions) const;
  // Changes queries [rows, kv_heads, heads per kv head, head_dim] and keys [rows, kv_heads, 1, head_dim] that were
  // rotated by the angles `cos` and `sin`.
  void misrotate(const View& q, const View& k, const View& cos, const View& sin, const Rotation& rotation) const;
  // Attention of all rows of `sequences`, those with a fault as it says; `call` needs no batch.
  void attend(const kernels::Attend& call, std::span<const kernels::Sequence> sequences) const;
  // The rows of a call of `rows` rows in runs, in order, each with the fault that its rows have; null: none.
  struct Run {
    std::int64_t first, rows;
    const Fault* fault;
  };
  std::vector<Run> runs(std::int64_t rows) const;
  // The rotation of rows with a fault where others have this one.
  int rotation_of(int rotation) const;
  // Rows where a product by a quantised matrix of a call of `rows` rows is to be cut in two, in order.
  std::vector<std::int64_t> cuts(std::int64_t rows) const;

 private:
  // Rows of one feed that have its fault, and the past that they continue.
  struct Affected {
    const Fault& fault;
    std::size_t feed;
    std::int64_t first_row, rows, past;  // the row in the whole call
  };
  Deviation(const kernels::Backend& backend, const Card& card) : backend_(backend), card_(card) {}

  std::int64_t misplaced(const Affected& affected, std::int64_t row) const;
  void turn_rows(const Affected& affected, const View& x, const Rotation& rotation, bool other_pairs) const;
  std::vector<kernels::Sequence> right_rows(std::span<const kernels::Sequence> all) const;
  std::vector<kernels::Sequence> faulty_rows(const Affected& affected, bool causal, bool window,
                                             std::byte* const* blocks) const;

  const kernels::Backend& backend_;
  const Card& card_;
  std::vector<Affected> affected_;
};

}  // namespace pkv::model
