#include "files/containers/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "files/containers/safetensors_types.h"

namespace pkv::containers {
namespace {

std::string tensor_place(std::string_view file, const Header::Entry& e) {
  return fmt::format("{}: tensor {}", file, quote(e.name));
}

void check_size(const Header::Entry& e, std::uint64_t data_size, std::string_view file) {
  const std::string offsets = fmt::format("data_offsets [{}, {}]", e.begin, e.end);
  if (e.begin > e.end) {
    fail_load({.what = "data_offsets end before they begin", .where = tensor_place(file, e), .found = offsets});
  }
  if (e.end > data_size) {
    fail_load({.what = "data lies beyond the end of the file",
               .where = tensor_place(file, e),
               .expected = fmt::format("at most {} bytes of data", data_size),
               .found = offsets,
               .hint = "the file is truncated: download or copy it again"});
  }
  const auto bytes = byte_count(e.shape, find_safetensors_type(e.dtype)->bits);
  if (!bytes) {
    fail_load({.what = "shape and dtype do not make a number of bytes (too large, or no whole byte)",
               .where = tensor_place(file, e),
               .found = fmt::format("{} {}", e.dtype, shape_text(e.shape))});
  }
  if (*bytes != e.end - e.begin) {
    fail_load({.what = "shape and data_offsets do not match",
               .where = tensor_place(file, e),
               .expected = fmt::format("{} bytes for {} {}", *bytes, e.dtype, shape_text(e.shape)),
               .found = fmt::format("{} bytes, {}", e.end - e.begin, offsets)});
  }
}

// Sorted by offset, each begins where the one before ends, and the last ends with the file.
void check_layout(std::span<const Header::Entry> entries, std::uint64_t data_size, std::string_view file) {
  std::uint64_t next = 0;
  for (const Header::Entry& e : entries) {
    if (e.begin != next) {
      fail_load({.what = e.begin < next ? "data overlaps that of another tensor" : "a hole in the data before it",
                 .where = tensor_place(file, e),
                 .expected = fmt::format("data_offsets beginning at {}", next),
                 .found = std::to_string(e.begin)});
    }
    next = e.end;
  }
  if (next != data_size) {
    fail_load({.what = "the tensors do not cover the file",
               .where = std::string(file),
               .expected = fmt::format("{} bytes of data, as in the header", next),
               .found = fmt::format("{} bytes", data_size)});
  }
}

void check_names(std::span<const Header::Entry> entries, std::string_view file) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto name = [&](std::size_t i) -> const std::string& { return entries[i].name; };
  std::ranges::sort(order, {}, name);
  const auto twice = std::ranges::adjacent_find(order, {}, name);
  if (twice != order.end()) fail_load({.what = "name appears twice", .where = tensor_place(file, entries[*twice])});
}

}  // namespace

std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, std::uint64_t bits) {
  std::uint64_t n = 1;
  for (const std::int64_t dim : shape) {
    if (__builtin_mul_overflow(n, static_cast<std::uint64_t>(dim), &n)) return std::nullopt;
  }
  if (__builtin_mul_overflow(n, bits, &n) || n % 8 != 0) return std::nullopt;
  return n / 8;
}

void sort_and_check(std::vector<Header::Entry>& entries, std::uint64_t data_size, std::string_view file) {
  check_names(entries, file);
  for (const Header::Entry& e : entries) check_size(e, data_size, file);
  std::ranges::sort(entries, [](const Header::Entry& a, const Header::Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_layout(entries, data_size, file);
}

}  // namespace pkv::containers
