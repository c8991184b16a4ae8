// Why a past was not what it should have been. Each cause is a row of one list (list.cc), which says all that is
// particular to it. A cause is confirmed when the logits that it would lead to, computed without a past, are the wrong
// ones that were seen; otherwise it is ranked by the share of the difference that it explains (search.h).
// docs/adding-a-cause.md adds one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "checker/causes/observation.h"

namespace pkv::check {

// In the order of the list: the likeliest first.
enum class CauseId : std::uint8_t {
  past_absent,
  top_left_mask,
  past_ignored,
  new_tokens_alone,
  position_restarted,
  position_one_far,
  position_one_short,
  position_frozen,
  alibi_over_new_tokens,
  alibi_missing,
  rotary_missing,
  rotary_twice,
  rotary_interleaved,
  query_rotated_late,
  rope_of_other_layers,
  rope_of_length,
  head_norms_missing,
  soft_cap_missing,
  sink_missing,
  tie_broken_otherwise,
  expert_batch,
  windows_missing,
  windows_swapped,
  attends_both_ways,
  later_tokens_seen,
  one_key_too_many,
  own_key_unseen,
  last_of_past_lost,
  hole_in_past,
  rows_and_heads_swapped,
  heads_shifted,
  values_shifted,
  keys_and_values_swapped,
  heads_tiled,
  past_in_fp16,
  past_in_bf16,
  past_in_int8,
  past_in_int4,
  past_in_fp8,
  scores_scaled,
  state_dropped,
  conv_dropped,
  first_token_only,
  state_in_bf16,
  step_differs,
  past_of_another_text,
  past_changed_in_place,
  past_not_rewound,
  state_not_rewound,
  past_shared,
  batch_rows_mixed,
  rows_not_reordered,
  one_token_call,
  several_token_call,
  rows_not_independent,
  state_of_elsewhere,
  first_dropped,
  window,
  layer_window,
  window_of_call,
  keys_lost,
  zeros_in_past,
  ring_out_of_order,
  layer_ignores_past,
  head_ignores_past,
  position_stops,
  position_from_padding,
  prefix_seen_whole,
  not_deterministic,
  rounding,
};

// What of a model decides whether a cause has a meaning for it.
struct Traits {
  bool causal = true;
  bool rotary = false;
  bool alibi = false;
  std::int64_t kv_heads = 1;                   // 0: no layer attends
  bool windows = false, some_windows = false;  // in some layer; and not in all
  bool turns_by_layer = false;                 // layers turn in more than one way, or some do not
  bool turns_by_length = false;                // elsewhere, tokens of short texts turn otherwise
  bool head_norms = false;                     // of queries and keys
  bool caps_scores = false;
  bool convolves = false, recurs = false;  // layers keep inputs of a convolution; matrices of a recurrence
  bool limits_steps = false;               // of a recurrence
  bool sinks = false;                      // every row sees one more score
  bool experts = false;                    // that a router chooses from
};

// Causes of two different groups may come together. One of the group `alone` comes with no other.
enum class Group : std::uint8_t { alone, mask, places, rotation, bias, content };

struct Cause {
  using Texts = std::vector<std::vector<std::int32_t>>;

  // The number N of causes that have one, "window=4".
  struct Number {
    std::int64_t least = 0;    // that has a meaning; 0: the cause has no number
    std::int64_t example = 0;  // planted where nobody gives one
    bool last_keys = false;    // as many of the last keys are seen, so that it is where a row first misses one
  };

  // How runs that were recorded of any program show it; docs/recorded.md names the tensors.
  struct Recorded {
    std::string_view honoured = {};  // the run that must give the right logits for this cause to be taken at its word:
                                     // whether the program heeds what it is handed. Empty: none
    std::string_view suppose = {};   // the cause under whose name its logits were recorded; empty: its own
    bool only = false;               // no living system is asked for its logits
  };

  CauseId id;
  std::string_view name;       // "top-left-mask": in reports, recordings and `--as`
  std::string_view statement;  // a sentence without its full stop
  std::string_view look_at;    // where the mistake would be
  std::string_view reference = {};

  // How it is simulated, without a past: by the system itself (Counterfactual), or by feeding one of these texts whole,
  // whose last rows are the new tokens'; no text where the cause says nothing of that call. With neither, it is read
  // off other evidence.
  bool supposed = false;
  Texts (*fed_instead)(const Observation& call) = nullptr;

  Group group = Group::alone;
  Number number = {};
  bool of_rewinds = false;       // supposed of calls after a rewind, and of no others
  bool where_none_kept = false;  // the cause where the system says that it keeps no past, and nowhere else
  bool reads_past = true;        // it lies in a past that is read; false: it shows, or may, where there is none
  bool (*fits)(const Traits& model) = nullptr;  // null: every model
  Recorded recorded = {};

  bool simulated() const { return supposed || fed_instead != nullptr || recorded.only; }
  bool has_number() const { return number.least > 0; }
};

std::span<const Cause> all_causes();
const Cause& cause_of(CauseId id);
const Cause* find_cause(std::string_view name);  // null when there is none of that name

}  // namespace pkv::check
