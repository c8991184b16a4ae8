#include "bench/quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "engine/tensor/buffer.h"

namespace pkv::bench {
namespace {

using quant::Format;

// Copies of one quantised matrix [out, in], one after the other.
struct Copies {
  Buffer codes, scales;
  quant::Matrix matrix;
  std::int64_t count;

  Copies(Machine& m, Format format, std::int64_t in, std::int64_t out, std::size_t least) {
    matrix.format = format, matrix.out = out, matrix.in = in, matrix.decoded = DType::f16;
    const auto bytes = static_cast<std::int64_t>(matrix.code_bytes());
    count = std::max<std::int64_t>(2, static_cast<std::int64_t>(least) / bytes);
    codes = Buffer(DType::u8, {count, bytes});
    scales = Buffer(DType::f32, {count, matrix.scale_count()});
    if (matrix.traits().encode != nullptr) {
      const Buffer source = random_buffer(DType::f16, {out, in}, 1);
      m.ops.encode(*m.device, {.from = source.view(), .to = at(0)});
    } else {  // any bytes are blocks; these make small scales of 16 bits, wherever in a block they lie
      std::uint8_t* byte = at(0).codes.as<std::uint8_t>();
      for (std::int64_t i = 0; i < bytes; ++i)
        byte[i] = static_cast<std::uint8_t>(4 + random_unit(1, static_cast<std::uint64_t>(i)) * 12);
    }
    for (std::int64_t i = 1; i < count; ++i) {
      std::memcpy(at(i).codes.data, at(0).codes.data, matrix.code_bytes());
      std::memcpy(at(i).scales.data, at(0).scales.data, matrix.scale_bytes());
    }
  }
  quant::Matrix at(std::int64_t round) const {
    quant::Matrix one = matrix;
    const View c = codes.view().rows(round % count, 1), s = scales.view().rows(round % count, 1);
    one.codes = matrix.codes_in(c.data);
    one.scales = matrix.scales_in(s.data);
    return one;
  }
};

// Outputs [first, first + count): whole rows of codes, which blocks of scales do not cross at these shapes.
quant::Matrix part_of(const quant::Matrix& m, std::int64_t first, std::int64_t count) {
  quant::Matrix part = m;
  part.out = count;
  part.codes = part.codes_in(m.codes.as<std::byte>() + quant::bytes_of(m.format, first * m.in));
  part.scales = part.scales_in(m.scales.as<float>() + first * (m.scale_count() / m.out));
  return part;
}

// As it is timed; the first outputs, some in the middle and the last are compared.
void check_product(Machine& m, const std::string& what, const kernels::Linear& a) {
  m.ops.linear(*m.device, a);
  const auto& naive = kernels::table("naive");
  const auto device = naive.open(0);
  const std::int64_t outs = a.quantized.out, some = std::min<std::int64_t>(outs, 16);
  const Buffer want(DType::f32, {a.x[0], some});
  for (const std::int64_t first : {std::int64_t{0}, (outs - some) / 2, outs - some}) {
    kernels::Linear part = a;
    part.quantized = part_of(a.quantized, first, some);
    part.out = want.view();
    naive.linear(*device, part);
    compare(what, a.out.columns(first, some), want.view(), 1e-2f);
  }
}

void bench_product(Machine& m, const OpOptions& o, nlohmann::json& out, const Copies& weights, std::int64_t rows) {
  const quant::Matrix& w = weights.matrix;
  const std::string shape = fmt::format("{} x [{}, {}] {}", rows, w.out, w.in, quant::name_of(w.format));
  if (!wanted(o, "linear", shape)) return;
  const Buffer wide = random_buffer(DType::f32, {rows, (w.in + 15) / 16 * 16 | 16}, 2);
  const Buffer y(DType::f32, {rows, w.out});
  const Buffer scratch(DType::u8, {static_cast<std::int64_t>(m.ops.linear_scratch(w, rows))});
  kernels::Linear call{.x = wide.view().columns(0, w.in), .out = y.view()};
  call.scratch = scratch.view();
  const auto run = [&](std::int64_t round) {
    call.quantized = weights.at(round);
    return call;
  };
  check_product(m, "linear " + shape, run(0));
  Line line{"linear", shape, 0, 0, [&](int round) { m.ops.linear(*m.device, run(round)); }};
  (rows <= 4 ? line.bytes : line.fmas) =
      rows <= 4 ? static_cast<double>(w.code_bytes() + w.scale_bytes()) : static_cast<double>(rows * w.elements());
  time_line(m, o, line, out);
}

// In bytes of the source.
void bench_encode(Machine& m, const OpOptions& o, nlohmann::json& out, const Copies& weights) {
  const quant::Matrix& w = weights.matrix;
  const std::string shape = fmt::format("[{}, {}] fp16 to {}", w.out, w.in, quant::name_of(w.format));
  if (!wanted(o, "encode", shape)) return;
  const Buffer from = random_buffer(DType::f16, {w.out, w.in}, 1);
  const std::int64_t some = 64;
  const Copies want(m, w.format, w.in, some, 0);
  const auto& naive = kernels::table("naive");
  naive.encode(*naive.open(0), {.from = from.view().rows(0, some), .to = want.at(1)});
  compare("encode " + shape, part_of(weights.at(0), 0, some).codes, want.at(1).codes, 0);
  compare("encode " + shape, part_of(weights.at(0), 0, some).scales, want.at(1).scales, 0);
  time_line(m, o,
            {"encode", shape, static_cast<double>(from.view().bytes()), 0,
             [&](int round) { m.ops.encode(*m.device, {.from = from.view(), .to = weights.at(round)}); }},
            out);
}

}  // namespace

void bench_quantized(Machine& m, const OpOptions& o, nlohmann::json& out) {
  constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {{768, 3072}, {2048, 8192}, {4096, 16384}, {4544, 18176}};
  for (const auto& [in, outs] : kShapes) {
    for (const Format format : quant::formats()) {
      if (in % quant::traits(format).columns_multiple != 0) continue;
      if (!o.only.empty() && o.only.find(quant::name_of(format)) == std::string::npos && o.only != "encode") continue;
      const Copies weights(m, format, in, outs, kCold);
      for (const std::int64_t rows : {1, 4, 16, 128, 512}) bench_product(m, o, out, weights, rows);
      if (quant::traits(format).encode != nullptr) bench_encode(m, o, out, weights);
    }
  }
}

}  // namespace pkv::bench
