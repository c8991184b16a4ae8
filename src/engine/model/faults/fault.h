// Faults on purpose: ways in which other implementations have misread a past, so that the engine can run as they did
// and the checker can see whether one of them reproduces wrong logits. A feed without one is computed as ever.
#pragma once

#include <cstdint>

namespace pkv::model {

// What goes wrong in a call that continues a past. Default: nothing.
struct Fault {
  enum class Position : std::uint8_t {
    right,
    restarted,  // from 0
    shifted,    // by `steps`
    frozen,     // all tokens of the call have the first one's
    capped,     // none beyond `steps`
  };
  enum class Rotary : std::uint8_t {
    right,
    missing,
    twice,
    interleaved,   // pairs (2i, 2i + 1) instead of (i, i + dim/2)
    query_late,    // queries, not keys, by as many steps too far as the call has tokens
    other_layers,  // as in layers of the other kind: by their table, or not at all
    of_length,     // calls that end within the card's short_texts turn as short texts do, also those without a past
  };
  enum class Alibi : std::uint8_t { right, missing, new_tokens_only };
  enum class Mask : std::uint8_t {
    right,
    past_ignored,     // new tokens see each other, at their right positions
    top_left,         // row r of the call sees the keys 0 .. r only
    window,           // the last `keys` keys, in layers with a window as in those without
    layer_window,     // the last `keys` keys, in layers with a window
    windows_missing,  // layers with a window see all keys
    windows_swapped,  // and those without see the window
    window_of_call,   // the last `keys` keys as they are after the call's last token
    first_dropped,    // all but the first `keys` keys
    one_more,         // a key beyond their own: the next token's, or an empty place
    later_seen,       // all keys of the call
    both_ways,        // the first `keys` tokens see each other, as far as fed; in calls without a past, too
  };
  enum class Content : std::uint8_t {
    right,
    fp16,  // rounded to that format and back
    bf16,
    int8,            // with one scale for each token and head: its largest value is 127
    heads_shifted,   // each kv head finds its neighbour's
    values_shifted,  // each key finds the next token's value
    transposed,      // [tokens, heads] is read as [heads, tokens]
    hole,            // an empty place, all zeros, after the past
    last_lost,       // the past's last token is overwritten by the first new one
  };

  // Of layers that keep one. Where nothing is said of calls, in all that continue a past.
  enum class State : std::uint8_t {
    right,
    matrices_dropped,  // calls of several tokens begin with empty matrices
    inputs_dropped,    // calls of several tokens begin with empty inputs of convolutions
    elsewhere,         // it is that of `steps` tokens before
    first_of_call,     // of the call before, the first token alone has reached it
    bf16,              // matrices are rounded to that format and back
    unlimited,         // calls of one token do not limit the steps by which it changes
    not_rewound,       // what was taken back is still in it: that is for who rewinds (Past::truncate_keys)
  };

  Position position = Position::right;
  Rotary rotary = Rotary::right;
  Alibi alibi = Alibi::right;
  Mask mask = Mask::right;
  Content content = Content::right;
  State state = State::right;
  std::int64_t keys = 0, steps = 0;
  bool bare_heads = false;     // no norms of queries and keys
  bool uncapped = false;       // scores are not limited
  bool high_ties = false;      // of experts whose scores are equal in bf16 the higher index is chosen
  bool rough_experts = false;  // what experts give is rounded to bf16 before it is summed
  bool unsunk = false;         // there are no sinks
  bool rows_apart = false;     // int8 with outliers of the whole call: the call's tokens by themselves
};

}  // namespace pkv::model
