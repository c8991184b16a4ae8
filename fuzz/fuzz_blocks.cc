// Blocks of ggml's formats as bytes: the first byte chooses the format, the others are one row of a matrix. Any bytes
// are weights: they are decoded, parts of the row as the whole; and multiplied, one row of x as five, by every table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/quant/quant.h"
#include "engine/tensor/buffer.h"

namespace {

using namespace pkv;  // NOLINT: a small program of its own

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b)); }

void multiply(const kernels::Ops& ops, kernels::Device& device, const quant::Matrix& m) {
  constexpr std::int64_t kRows = 5;
  const Buffer x(DType::f32, {kRows, m.in}), one(DType::f32, {1, m.out}), all(DType::f32, {kRows, m.out});
  std::fill_n(x.view().as<float>(), kRows * m.in, 0.7f);
  for (const auto& [rows, out] : {std::pair(std::int64_t{1}, one.view()), std::pair(kRows, all.view())}) {
    const Buffer scratch(DType::u8, {static_cast<std::int64_t>(ops.linear_scratch(m, rows))});
    ops.linear(device, {.x = x.view().rows(0, rows), .out = out, .quantized = m, .scratch = scratch.view()});
  }
  for (std::int64_t r = 0; r < kRows; ++r) {
    if (!same(all.view().as<float>()[r * m.out], one.view().as<float>()[0])) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::vector<quant::Format> formats;
  std::ranges::copy_if(quant::formats(), std::back_inserter(formats),
                       [](quant::Format f) { return quant::traits(f).scaling == quant::Scaling::inside; });
  if (size == 0) return 0;
  quant::Matrix m{.format = formats[bytes[0] % formats.size()], .out = 1};
  const quant::BlockLayout layout = m.traits().codes;
  const std::size_t blocks = std::min<std::size_t>((size - 1) / static_cast<std::size_t>(layout.bytes), 9);
  if (blocks == 0) return 0;
  m.in = static_cast<std::int64_t>(blocks) * layout.weights;
  const std::vector<std::uint8_t> row(bytes + 1, bytes + 1 + m.code_bytes());  // so that reads beyond it are seen
  m.codes = m.codes_in(row.data());
  m.scales = m.scales_in(row.data());
  std::vector<float> whole(static_cast<std::size_t>(m.in));
  quant::decode(m, 0, 0, whole);
  const std::int64_t first = size % m.in;
  std::vector<float> part(static_cast<std::size_t>(m.in - first));
  quant::decode(m, 0, first, part);
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (!same(part[i], whole[static_cast<std::size_t>(first) + i])) std::abort();
  }
  static const std::vector<std::unique_ptr<kernels::Device>> devices = [] {
    std::vector<std::unique_ptr<kernels::Device>> each;
    for (const kernels::Ops* ops : kernels::tables()) each.push_back(ops->open(1));
    return each;
  }();
  for (std::size_t i = 0; i < devices.size(); ++i) multiply(*kernels::tables()[i], *devices[i], m);
  return 0;
}
