// Faults on purpose: ways in which other implementations have misread a past, so that the engine can run as they did
// and the checker can see whether one of them reproduces wrong logits. A feed without one is computed as ever.
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/dtype.h"

namespace pkv::model {

// What goes wrong in a call that continues a past. Default: nothing.
struct Fault {
  enum class Position : std::uint8_t { right, restarted, one_far, one_short };
  enum class Rotary : std::uint8_t { right, missing, twice };
  enum class Alibi : std::uint8_t { right, missing, new_tokens_only };
  enum class Mask : std::uint8_t {
    right,
    past_ignored,   // new tokens see each other, at their right positions
    top_left,       // row r of the call sees the keys 0 .. r only
    window,         // the last `count` keys
    first_dropped,  // all but the first `count` keys
    later_seen,     // all keys of the call
  };

  Position position = Position::right;
  Rotary rotary = Rotary::right;
  Alibi alibi = Alibi::right;
  Mask mask = Mask::right;
  std::int64_t count = 0;
  std::optional<DType> past_rounded{};  // fp32 keys and values of the past, rounded to this and back
  bool heads_shifted = false;           // each kv head finds its neighbour's past
};

}  // namespace pkv::model
