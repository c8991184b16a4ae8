// Slices of vectors and spans, counted in std::int64_t as all counts of tokens and rows here are:
//
//   feed(session, drop(ids, past));
//
// Nothing is checked: a slice must lie within what it is taken of, which must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>

namespace pkv {

// Vectors, arrays and spans that outlive the call.
template <class R>
concept Sliceable = std::ranges::contiguous_range<R> && std::ranges::borrowed_range<R>;

// The elements from `from` on, `count` of them.
auto slice(Sliceable auto&& all, std::int64_t from, std::int64_t count) {
  return std::span(all).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
}

// The first `count` elements.
auto take(Sliceable auto&& all, std::int64_t count) { return slice(all, 0, count); }

// All elements but the first `count`.
auto drop(Sliceable auto&& all, std::int64_t count) { return slice(all, count, std::ssize(all) - count); }

}  // namespace pkv
