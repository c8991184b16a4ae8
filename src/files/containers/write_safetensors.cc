#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/error.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "files/containers/layout.h"
#include "files/containers/safetensors.h"
#include "files/containers/safetensors_types.h"

namespace pkv::containers {
namespace {

constexpr std::uint64_t kLengthBytes = 8;

const SafetensorsType* type_of(DType dtype) { return find_safetensors_type(safetensors_name(dtype)); }

[[noreturn]] void refuse(const std::string& where, const std::string& name, std::string what, std::string expected = {},
                         std::string found = {}) {
  fail_usage({.what = std::move(what),
              .where = fmt::format("{}: tensor {}", where, quote(name)),
              .expected = std::move(expected),
              .found = std::move(found)});
}

std::string checked_text(const std::filesystem::path& path, const std::string& text) {
  if (!first_invalid_utf8(text)) return pkv::json_text(text);
  fail_usage({.what = "a name or metadata text is not UTF-8", .where = path.string(), .found = quote(text)});
}

void check_kind(const std::string& where, const auto& t) {
  if (t.name == "__metadata__") refuse(where, t.name, "a tensor cannot have this name");
  if (t.shape.size() > Header::kMaxFileRank) refuse(where, t.name, "rank is too high", {}, shape_text(t.shape));
  if (std::ranges::any_of(t.shape, [](std::int64_t dim) { return dim < 0; })) {
    refuse(where, t.name, "a negative dimension", {}, shape_text(t.shape));
  }
}

void check(const std::string& where, const Tensor& t) {
  check_kind(where, t);
  const auto bytes = byte_count(t.shape, type_of(t.dtype)->bits);
  if (bytes == t.data.size()) return;
  refuse(where, t.name, "data does not match shape and dtype",
         bytes ? fmt::format("{} bytes", *bytes) : "a shape that does not overflow",
         fmt::format("{} bytes for {} {}", t.data.size(), safetensors_name(t.dtype), shape_text(t.shape)));
}

// The order of the reference implementation: dtypes from the last of its list to the first, then names.
std::vector<const Planned*> sorted(const std::string& where, std::span<const Planned> tensors) {
  const auto name = [](const Planned* t) -> std::string_view { return t->name; };
  std::vector<const Planned*> order;
  for (const Planned& t : tensors) order.push_back(&t);
  std::ranges::sort(order, {}, name);
  const auto twice = std::ranges::adjacent_find(order, {}, name);
  if (twice != order.end()) refuse(where, (*twice)->name, "name is given twice");
  std::ranges::stable_sort(order, std::greater{}, [](const Planned* t) { return type_of(t->dtype); });
  return order;
}

std::string header_of(const std::filesystem::path& path, std::span<const Planned* const> tensors,
                      const std::map<std::string, std::string>& metadata, std::uint64_t align_last) {
  std::string header = "{";
  const auto comma = [&] { return header.back() == '{' ? "" : ","; };
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += fmt::format("{}{}:{}", comma(), checked_text(path, key), checked_text(path, value));
    }
    header += '}';
  }
  std::uint64_t begin = 0, last = 0;
  for (const Planned* t : tensors) {
    last = begin;
    const std::uint64_t end = begin + bytes_of(*t);
    header +=
        fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", comma(),
                    checked_text(path, t->name), safetensors_name(t->dtype), fmt::join(t->shape, ","), begin, end);
    begin = end;
  }
  header += '}';
  const auto up = [](std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; };
  const std::uint64_t before = kLengthBytes + last % align_last;
  header.resize(up(up(header.size(), 8) + before, align_last) - before, ' ');
  return header;
}

void write_data(FileWriter& writer, const Planned& t, const std::function<void(std::uint64_t)>& wrote) {
  std::uint64_t bytes = 0;
  t.write([&](std::span<const std::byte> piece) {
    writer.write(piece);
    bytes += piece.size();
    if (wrote) wrote(piece.size());
  });
  if (bytes == bytes_of(t)) return;
  fail_internal({.what = "a tensor's data does not have its size",
                 .where = quote(t.name),
                 .expected = fmt::format("{} bytes", bytes_of(t)),
                 .found = fmt::format("{} bytes", bytes)});
}

}  // namespace

std::uint64_t bytes_of(const Planned& tensor) {
  if (const auto bytes = byte_count(tensor.shape, type_of(tensor.dtype)->bits)) return *bytes;
  refuse("a tensor to be written", tensor.name, "a shape that overflows", {}, shape_text(tensor.shape));
}

void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<Planned> planned;
  for (const Tensor& t : tensors) {
    check(path.string(), t);
    const auto write = [data = t.data](const Sink& sink) { sink(data); };
    planned.push_back({.name = t.name, .dtype = t.dtype, .shape = t.shape, .write = write});
  }
  stream_safetensors(path, planned, metadata);
}

void stream_safetensors(const std::filesystem::path& path, std::span<const Planned> tensors,
                        const std::map<std::string, std::string>& metadata, const Streaming& how) {
  for (const Planned& t : tensors) check_kind(path.string(), t);
  const std::vector<const Planned*> order = sorted(path.string(), tensors);
  const std::string header = header_of(path, order, metadata, how.align_last);
  if (header.size() > SafeTensors::kMaxHeader) {
    fail_usage({.what = "header is too large",
                .where = path.string(),
                .expected = fmt::format("at most {} bytes", SafeTensors::kMaxHeader),
                .found = fmt::format("{} bytes", header.size())});
  }
  std::array<std::byte, kLengthBytes> length;
  for (std::size_t i = 0; i < length.size(); ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i) & 0xff);

  FileWriter writer(path, how.owner_only);
  writer.write(length);
  writer.write(header);
  for (const Planned* t : order) write_data(writer, *t, how.wrote);
  writer.commit();
}

}  // namespace pkv::containers
