// Rotary positions as configs say them: `rope_theta` and `rope_scaling` at the top (transformers 4), `rope_parameters`
// (transformers 5), one for all layers or one for each kind of layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "files/hf/config.h"

namespace pkv::model::arch {

struct RopeShape {
  std::int64_t head_dim = 0;
  std::int64_t context = 0;                   // max_position_embeddings
  double theta = 10000;                       // where the config says none
  std::string_view theta_key = {};            // of the config, in place of rope_theta
  double partial = 1;                         // part of a head that turns, where the config says none
  std::string_view partial_key = {};          // in place of partial_rotary_factor
  bool may_be_partial = false;                // the family's code reads partial_rotary_factor
  std::optional<std::int64_t> declared = {};  // tokens that texts will have at most
  std::int64_t dim = 0;                       // elements of a head that turn; 0: as their part says
  bool neighbours = false;
  bool temperature = false;      // queries grow with their position, as the same object says
  bool own_factor = false;       // short_mscale of the same object is the factor on cosines and sines
  std::string_view absent = {};  // rope_parameters, as JSON, where the config has neither dialect's object
  std::int64_t original =
      0;                 // what the family's class takes for original_max_position_embeddings; 0: what is in `rope`
  bool by_kind = false;  // kinds of layers have objects of their own
};

struct Rope {
  Rotation rotation;  // without its table
  double theta = 0;
  std::optional<Temperature> temperature{};
  std::int64_t most_tokens = 0;            // beyond them frequencies would depend on the text's length; 0: never
  bool declarable = false;                 // unless more tokens had been declared
  bool for_long_texts = false;             // as they were
  std::vector<float> short_frequencies{};  // of texts up to `short_texts` tokens, then
  std::int64_t short_texts = 0;
};

// Of all layers; where the config tells kinds apart, of those that see all. Error::load that names the key for a kind
// of rope that is not implemented, or one whose numbers make no sense.
Rope read_rope(const hf::Config& config, const RopeShape& shape);

// Of the layers that see a window, of a family where they turn otherwise; `theta`: where the config says none.
Rope read_local_rope(const hf::Config& config, const RopeShape& shape, double theta);

}  // namespace pkv::model::arch
