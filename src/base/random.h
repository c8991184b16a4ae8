// Counter-based random numbers: the i-th number of a seed is a pure function of (seed, i), so that it does not depend
// on who draws first. The mixer is SplitMix64 (Steele, Lea, Flood 2014). For tests, benchmarks and samplers; not for
// secrets.
#pragma once

#include <cstdint>

namespace pkv {

constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + 0x9e3779b97f4a7c15ULL * (index + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// Uniform in [0, 1), 53 bits.
constexpr double random_unit(std::uint64_t seed, std::uint64_t index) {
  return static_cast<double>(random_bits(seed, index) >> 11) * 0x1.0p-53;
}

// Uniform in [-1, 1).
constexpr float random_signed(std::uint64_t seed, std::uint64_t index) {
  return static_cast<float>(2 * random_unit(seed, index) - 1);
}

}  // namespace pkv
