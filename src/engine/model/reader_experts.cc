// The part of Reader that deals with experts: many matrices of one shape, each in a tensor of its own or all in one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "engine/model/reader.h"

namespace pkv::model {

// That of a whole tensor: no source moves the rows of one that is made of slices.
const Arrangement* Reader::arrangement(const containers::Tensor& t) const {
  return source_.find(t.name) == &t ? arrangement_of(source_, t) : nullptr;
}

// Matrix i of a tensor [n, rows, columns], "NAME[i]".
const containers::Tensor& Reader::slice(const containers::Tensor& t, std::int64_t i) {
  containers::Tensor& part = slices_.emplace_back(t);
  const std::size_t bytes = t.data.size() / static_cast<std::size_t>(t.shape[0]);
  part.name = fmt::format("{}[{}]", t.name, i);
  part.shape.erase(part.shape.begin());
  part.data = t.data.subspan(static_cast<std::size_t>(i) * bytes, bytes);
  return part;
}

Experts Reader::experts(const std::string& before, const std::string& after, const Crowd& crowd) {
  std::vector<Projection> all;
  for (std::int64_t i = 0; i < crowd.count; ++i) {
    all.push_back(keep_linear(fmt::format("{}{}{}", before, i, after), crowd.out, crowd.in, false));
  }
  return keep_experts(all, before + "0" + after, crowd);
}

Experts Reader::experts(const std::string& name, const Crowd& crowd, bool turned) {
  if (find(name) == nullptr && find(name + "_blocks") != nullptr) {
    return keep_experts(keep_mxfp4(name, crowd), name + "_blocks", crowd);
  }
  const containers::Tensor* found = find(name);
  std::vector<Projection> all;
  if (found != nullptr && found->format) {
    if (found->shape.size() != 3 || found->shape[0] != crowd.count) {
      fail_load({.what = "tensor has the wrong shape",
                 .where = fmt::format("{}: tensor '{}'", found->file->path().string(), found->name),
                 .expected = shape_text(std::array{crowd.count, crowd.out, crowd.in}),
                 .found = shape_text(found->shape)});
    }
    for (std::int64_t i = 0; i < crowd.count; ++i) {
      const containers::Tensor& part = slice(*found, i);
      const auto find_part = [&](const std::string& n) { return n == part.name ? &part : nullptr; };
      all.push_back(keep_stored(*stored_matrix(find_part, part.name, crowd.out, crowd.in), part));
    }
    used_.insert(found->name);
    return keep_experts(all, name, crowd);
  }
  const std::int64_t rows = turned ? crowd.in : crowd.out, columns = turned ? crowd.out : crowd.in;
  const containers::Tensor& t = expect(name, std::array{crowd.count, rows, columns});
  for (std::int64_t i = 0; i < crowd.count; ++i) all.push_back(keep_plain(slice(t, i), turned));
  return keep_experts(all, name, crowd);
}

// Of 32 elements each: 16 bytes of two codes, the first in the low half, and a byte that says their exponent. A block
// of the format has the exponent first, and in byte i the codes i and i + 16.
std::vector<Projection> Reader::keep_mxfp4(const std::string& name, const Crowd& crowd) {
  constexpr std::int64_t kWeights = 32, kBytes = 16;
  const std::int64_t blocks = crowd.in / kWeights;
  const auto bytes_of = [&](const std::string& part, std::vector<std::int64_t> shape) -> const containers::Tensor& {
    const containers::Tensor* t = find(name + part);
    if (t == nullptr) fail_missing(name + part, shape);
    if (t->dtype != DType::u8 || t->format || t->shape != shape) {
      fail_load({.what = "a tensor of MXFP4 is not what its config says",
                 .where = fmt::format("{}: tensor '{}'", t->file->path().string(), t->name),
                 .expected = fmt::format("U8 {}", shape_text(shape)),
                 .found = fmt::format("{} {}", t->type(), shape_text(t->shape))});
    }
    used_.insert(t->name);
    return *t;
  };
  if (crowd.in % kWeights != 0) {
    fail_load({.what = "rows of MXFP4 are a multiple of 32 elements long",
               .where = fmt::format("tensor '{}_blocks'", name),
               .found = fmt::format("{} elements, by config.json", crowd.in)});
  }
  const containers::Tensor& codes = bytes_of("_blocks", {crowd.count, crowd.out, blocks, kBytes});
  const containers::Tensor& exponents = bytes_of("_scales", {crowd.count, crowd.out, blocks});
  std::vector<Projection> all;
  for (std::int64_t e = 0; e < crowd.count; ++e) {
    StoredMatrix stored;
    quant::Matrix& m = stored.matrix;
    m.format = quant::Format::mxfp4, m.out = crowd.out, m.in = crowd.in, m.block = kWeights;
    m.codes = m.codes_in(slice(codes, e).data.data()), m.scales = m.scales_in(m.codes.data);  // none
    Buffer ordered;
    if (backend_ != nullptr) {
      ordered = Buffer(DType::u8, {static_cast<std::int64_t>(m.code_bytes())});
      auto* to = reinterpret_cast<std::uint8_t*>(ordered.view().data);
      const auto* from = reinterpret_cast<const std::uint8_t*>(slices_.back().data.data());
      const auto* scale = reinterpret_cast<const std::uint8_t*>(exponents.data.data()) + e * crowd.out * blocks;
      for (std::int64_t b = 0; b < crowd.out * blocks; ++b, from += kBytes) {
        *to++ = *scale++;
        for (int i = 0; i < kBytes; ++i) {
          const auto code = [&](int at) { return (from[at / 2] >> (at % 2 * 4)) & 15; };
          *to++ = static_cast<std::uint8_t>(code(i) | code(i + kBytes) << 4);
        }
      }
    }
    all.push_back(keep_stored(std::move(stored), slices_.back(), std::move(ordered)));
  }
  return all;
}

Experts Reader::keep_experts(std::span<const Projection> all, const std::string& name, const Crowd& crowd) {
  const Projection& first = all[0];
  for (const Projection& each : all) {
    const bool same = each.quantized ? first.quantized && each.quantized.format == first.quantized.format &&
                                           each.quantized.block == first.quantized.block &&
                                           each.quantized.decoded == first.quantized.decoded
                                     : !first.quantized && each.weight.dtype == first.weight.dtype;
    if (same) continue;
    fail_load({.what = "the experts of a layer are not all in one number format",
               .where = fmt::format("{}: tensors like '{}'", source_.path().string(), name),
               .hint = "--load-in bf16 brings them into one"});
  }
  Experts experts{.first = first, .count = crowd.count};
  inventory_.products.weights += crowd.chosen * product_of(first).weights;
  inventory_.products.bytes += static_cast<std::size_t>(crowd.chosen) * product_of(first).bytes;
  if (backend_ == nullptr) return experts;
  Buffer addresses(DType::i64, {crowd.count, 2});
  std::int64_t* at = addresses.span<std::int64_t>().data();
  for (const Projection& each : all) {
    *at++ = reinterpret_cast<std::int64_t>(each.quantized ? each.quantized.codes.data : each.weight.data);
    *at++ = reinterpret_cast<std::int64_t>(each.quantized.scales.data);
  }
  experts.addresses = keep(addresses);
  return experts;
}

}  // namespace pkv::model
