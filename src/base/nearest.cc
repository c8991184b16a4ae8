#include "base/nearest.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pkv {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

constexpr std::size_t kFar = 100;

// Another letter. Another digit is another thing, not a slip: int4 and int8.
std::size_t change(char a, char b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return lower(a) == lower(b) ? 0 : digit(a) && digit(b) ? kFar : 1;
}

// Letters to change, add, leave out or swap with their neighbour to make one of the other.
std::size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two_before, before(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) before[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({before[j] + 1, row[j - 1] + 1, before[j - 1] + change(a[i - 1], b[j - 1])});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], two_before[j - 2] + 1);
    }
    two_before = std::exchange(before, row);
  }
  return before[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view typed, std::span<const std::string_view> names) {
  constexpr std::size_t kLongest = 100, kTelling = 3, kLong = 4;
  if (typed.empty() || typed.size() > kLongest) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(1, typed.size() / 3) + 1;
  for (const std::string_view name : names) {
    if (std::max(typed.size(), name.size()) < kLong) continue;
    const std::size_t distance = slips(typed, name);
    if (distance < least && distance < name.size()) best = name, least = distance;
  }
  const auto begins = [&](std::string_view name) { return name.starts_with(typed); };
  const bool begun = typed.size() >= kTelling && std::ranges::count_if(names, begins) == 1;
  return least > 1 && begun ? *std::ranges::find_if(names, begins) : best;
}

std::string did_you_mean(std::string_view typed, std::span<const std::string_view> names) {
  const std::string_view name = nearest(typed, names);
  return name.empty() ? "" : "did you mean " + std::string(name) + "?";
}

}  // namespace pkv
