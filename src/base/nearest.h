// Which name somebody meant who wrote another.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pkv {

// Of `names` the one that `typed` is most likely a slip of: one letter is wrong, too many, missing or in its
// neighbour's place; or it is the beginning of that name alone; or such slips are in at most a third of the letters.
// Case does not count. Empty where none is near enough.
std::string_view nearest(std::string_view typed, std::span<const std::string_view> names);

// "did you mean NAME?", or nothing.
std::string did_you_mean(std::string_view typed, std::span<const std::string_view> names);

}  // namespace pkv
