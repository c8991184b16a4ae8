#include "engine/model/card.h"

#include <fmt/format.h>

#include <algorithm>

namespace pkv::model {

std::int64_t Card::layers_with_keys() const {
  return keeps.empty() ? layers : std::ranges::count_if(keeps, &Keeps::keys);
}

std::vector<StateShape> Card::states() const {
  std::vector<StateShape> all;
  for (const Keeps& k : keeps) {
    if (k.state) all.push_back(k.state);
  }
  return all;
}

std::size_t Card::state_bytes() const {
  std::size_t bytes = 0;
  for (const Keeps& k : keeps) bytes += k.state.bytes();
  return bytes;
}

std::string positions_text(const Card& card) {
  switch (card.positions) {
    case Positions::none:
      break;
    case Positions::learned:
      return !card.padding ? "learned" : "learned, from the padding index";
    case Positions::rotary:
      return fmt::format("rotary, theta {}", static_cast<std::int64_t>(card.rotary_theta));
    case Positions::alibi:
      return "ALiBi";
  }
  return "none";
}

}  // namespace pkv::model
