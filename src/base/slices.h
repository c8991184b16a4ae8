// Slices of vectors and spans, counted in std::int64_t as all counts of tokens and rows here are:
//
//   feed(session, drop(ids, past));
//
// Nothing is checked: a slice must lie within what it is taken of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pkv {

// The elements from `from` on, `count` of them.
inline auto slice(const auto& all, std::int64_t from, std::int64_t count) {
  return std::span(all).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
}

// The first `count` elements.
inline auto take(const auto& all, std::int64_t count) { return slice(all, 0, count); }

// All elements but the first `count`.
inline auto drop(const auto& all, std::int64_t count) { return slice(all, count, std::ssize(all) - count); }

}  // namespace pkv
