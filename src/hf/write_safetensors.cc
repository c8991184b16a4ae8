#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/error.h"
#include "hf/formats.h"
#include "hf/json.h"
#include "hf/layout.h"
#include "hf/safetensors.h"

namespace pkv::hf {
namespace {

const Format* format_of(const Tensor& t) { return find_format(safetensors_name(t.dtype)); }

[[noreturn]] void refuse(const std::filesystem::path& path, const Tensor& t, std::string what,
                         std::string expected = {}, std::string found = {}) {
  fail_usage({.what = std::move(what),
              .where = fmt::format("{}: tensor {}", path.string(), quote(t.name)),
              .expected = std::move(expected),
              .found = std::move(found)});
}

std::string json_text(const std::filesystem::path& path, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    fail_usage({.what = "a name or metadata text is not UTF-8", .where = path.string(), .found = quote(text)});
  }
}

void check(const std::filesystem::path& path, const Tensor& t) {
  if (t.name == "__metadata__") refuse(path, t, "a tensor cannot have this name");
  if (t.shape.size() > Header::kMaxFileRank) refuse(path, t, "rank is too high", {}, shape_text(t.shape));
  if (std::ranges::any_of(t.shape, [](std::int64_t dim) { return dim < 0; })) {
    refuse(path, t, "a negative dimension", {}, shape_text(t.shape));
  }
  const auto bytes = byte_count(t.shape, format_of(t)->bits);
  if (bytes != t.data.size()) {
    refuse(path, t, "data does not match shape and dtype",
           bytes ? fmt::format("{} bytes", *bytes) : "a shape that does not overflow",
           fmt::format("{} bytes for {} {}", t.data.size(), safetensors_name(t.dtype), shape_text(t.shape)));
  }
}

// The order of the reference implementation: dtypes from the last of its list to the first, then names.
std::vector<const Tensor*> sorted(const std::filesystem::path& path, std::span<const Tensor> tensors) {
  std::vector<const Tensor*> order;
  for (const Tensor& t : tensors) order.push_back(&t);
  std::ranges::sort(order, {}, [](const Tensor* t) -> std::string_view { return t->name; });
  const auto twice = std::ranges::adjacent_find(order, {}, [](const Tensor* t) -> std::string_view { return t->name; });
  if (twice != order.end()) refuse(path, **twice, "name is given twice");
  std::ranges::stable_sort(order, std::greater{}, [](const Tensor* t) { return format_of(*t); });
  return order;
}

std::string header_of(const std::filesystem::path& path, std::span<const Tensor* const> tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  const auto comma = [&] { return header.back() == '{' ? "" : ","; };
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += fmt::format("{}{}:{}", comma(), json_text(path, key), json_text(path, value));
    }
    header += '}';
  }
  std::uint64_t begin = 0;
  for (const Tensor* t : tensors) {
    const std::uint64_t end = begin + t->data.size();
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", comma(),
                          json_text(path, t->name), safetensors_name(t->dtype), fmt::join(t->shape, ","), begin, end);
    begin = end;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  for (const Tensor& t : tensors) check(path, t);
  const std::vector<const Tensor*> order = sorted(path, tensors);
  const std::string header = header_of(path, order, metadata);
  if (header.size() > SafeTensors::kMaxHeader) {
    fail_usage({.what = "header is too large",
                .where = path.string(),
                .expected = fmt::format("at most {} bytes", SafeTensors::kMaxHeader),
                .found = fmt::format("{} bytes", header.size())});
  }
  std::array<std::byte, 8> length;
  for (std::size_t i = 0; i < length.size(); ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i) & 0xff);

  FileWriter writer(path);
  writer.write(length);
  writer.write(header);
  for (const Tensor* t : order) writer.write(t->data);
  writer.commit();
}

}  // namespace pkv::hf
