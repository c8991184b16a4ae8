// Parts of contiguous ranges by signed counts, as shapes and numbers of tokens are. The caller promises that the range
// is that long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>

namespace pkv {

// Vectors, arrays and spans that outlive the call.
template <class R>
concept Spannable = std::ranges::contiguous_range<R> && std::ranges::borrowed_range<R>;

// The first `count` elements.
template <Spannable R>
auto first(R&& range, std::int64_t count) {
  return std::span(range).first(static_cast<std::size_t>(count));
}

// What follows the first `count` elements.
template <Spannable R>
auto rest(R&& range, std::int64_t count) {
  return std::span(range).subspan(static_cast<std::size_t>(count));
}

// `count` elements from element `from` on.
template <Spannable R>
auto middle(R&& range, std::int64_t from, std::int64_t count) {
  return std::span(range).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
}

}  // namespace pkv
