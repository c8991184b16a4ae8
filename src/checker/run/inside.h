// Where in the model, and where in the text, two runs part; and whether earlier positions know of later tokens. Needs
// nothing but feeding; layers and heads are seen where sessions can be looked into.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checker/run/evidence.h"
#include "checker/run/plan.h"
#include "checker/run/setting.h"

namespace pkv::check {

// The causality probe: a later token was changed; did earlier states and logits move?
struct Causality {
  Answer holds = Answer::unknown;
  std::int64_t first_layer = -1;  // from which on states of earlier positions move; -1: none, or not visible
  double moved = 0;               // largest |Δ| of an earlier logit
  std::string sentence;
};

// Feeds the text with other tokens from its second, its middle and its last token on: logits of the positions before
// must stay. 3 feeds of the text; 2 more with states where they do not.
Causality causality(const Setting& setting);
std::set<std::int64_t> changed_for_causality(std::int64_t tokens);  // from which tokens on, in a text of that length

// A call known to have gone wrong: ids[past ..] fed after a past used as `method` says. `right_past`: the longest
// shorter past that was tried and gave the right logits; 0 where none was.
struct WrongCall {
  std::int64_t past = 0, right_past = 0, position = 0;
  Method method = Method::pieces;
};

// Where two runs part: the first split that goes wrong, there the first position, there the first layer whose states
// differ (of a system that promises no equal bits: by more than rounding explains), there the first head. -1: not
// known.
struct Parting {
  std::int64_t past = 0, position = 0, layer = -1, head = -1;
  bool embedded = false;  // already before the first layer; then layer and head are -1
  std::string sentence;   // "after a past of 3 the token at position 3 parts in layer 0, head 2"
};

// How far apart the states after one layer are, at the split of `Parting`.
struct LayerDistance {
  double max_abs = 0;  // largest |Δ| over the new positions
  double largest = 0;  // largest |state| without past: what max_abs is to be held against
};

// ", in head 2 of 8": those of a layer that has so many; nothing where none is known.
std::string heads_words(const std::vector<std::int64_t>& heads, std::int64_t all);

// What was seen of a difference from the inside.
struct Inside {
  std::optional<Parting> parting;     // none where it was not looked for, or the difference does not show again
  std::vector<LayerDistance> layers;  // [layers + 1]: as embedded, then after each; empty where not visible
};

// Halves the way from the call's right_past to its past, then looks at the first position that parts. `causal`: the
// model is known to be, so that states of a text's beginning need no more than the beginning.
Inside find_parting(const Setting& setting, WrongCall call, bool causal);

}  // namespace pkv::check
