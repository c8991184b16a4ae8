#include "engine/model/card.h"

#include <fmt/format.h>

namespace pkv::model {

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
