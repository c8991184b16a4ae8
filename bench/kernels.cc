// Every op of the cpu table at shapes of real models (GPT-2 small 768/3072/50257, a 1.1B model 2048/8192, 7B models
// 4096/16384 and 4544/18176), checked against naive, then timed in turn with the peak of this machine: each round
// measures the peak and the op within the same fraction of a second; medians of rounds are printed with their share.
// Weights, tables and pasts cycle through more memory than the caches hold. Hidden states do not: an op finds them
// where the one before left them, so its share of the read rate of memory may be above 1.
#include "engine/kernels/kernels.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/random.h"
#include "bench/lines.h"
#include "bench/quantized.h"
#include "engine/tensor/buffer.h"

namespace {

using namespace pkv;
using bench::compare;
using bench::kCold;
using bench::Line;
using bench::Machine;
using bench::OpOptions;
using bench::random_buffer;
using bench::time_line;
using bench::wanted;
using kernels::Act;

constexpr std::string_view kUsage =
    "bench_kernels [--only WORD] [--isa NAME] [--threads N] [--seconds S] [--clock cpu] [--output json]\n";
// `call` with both tables, each writing to an output of its own.
template <class Call>
void check(Machine& m, const std::string& what, const View& got, const View& want, float within, const Call& call) {
  call(m.ops, *m.device, got);
  const auto& naive = kernels::table("naive");
  call(naive, *naive.open(0), want);
  compare(what, got, want, within);
}

// The whole product as it is timed; of its outputs the first, 32 in the middle and the last are compared, in all rows,
// for naive would take too long with all of them.
void check_linear(Machine& m, const std::string& what, const kernels::Linear& a) {
  m.ops.linear(*m.device, a);
  const auto& naive = kernels::table("naive");
  const auto device = naive.open(0);
  const std::int64_t outs = a.weight[0], some = std::min<std::int64_t>(outs, 32);
  const Buffer want(DType::f32, {a.x[0], some});
  for (const std::int64_t first : {std::int64_t{0}, (outs - some) / 2, outs - some}) {
    kernels::Linear part = a;
    part.weight = a.weight.rows(first, some);
    if (a.bias) part.bias = a.bias.rows(first, some);
    part.out = want.view();
    naive.linear(*device, part);
    compare(what, a.out.columns(first, some), want.view(), 1e-2f);
  }
}

void bench_linear(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t in, std::int64_t outs, DType dtype,
                  std::int64_t rows) {
  const std::string shape = fmt::format("{} x [{}, {}] {}", rows, outs, in, name_of(dtype));
  if (!wanted(o, "linear", shape)) return;
  const std::size_t bytes = static_cast<std::size_t>(in * outs) * size_of(dtype);
  // Many rows use every weight often: warm caches change little, so two copies are enough.
  const auto copies = rows <= 16 ? static_cast<std::int64_t>(std::max<std::size_t>(2, kCold / bytes)) : 2;
  const Buffer weights = random_buffer(dtype, {copies * outs, in}, 1);
  // Rows an odd number of cache lines apart, as the model's are.
  const Buffer wide = random_buffer(DType::f32, {rows, (in + 15) / 16 * 16 | 16}, 2);
  const View x = wide.view().columns(0, in);
  const Buffer bias = random_buffer(DType::f32, {outs}, 3), y(DType::f32, {rows, outs});
  const auto call = [&](int round) {
    m.ops.linear(
        *m.device,
        {.x = x, .weight = weights.view().rows(round % copies * outs, outs), .bias = bias.view(), .out = y.view()});
  };
  check_linear(m, "linear " + shape,
               {.x = x, .weight = weights.view().rows(0, outs), .bias = bias.view(), .out = y.view()});
  Line line{"linear", shape, 0, 0, call};
  (rows <= 4 ? line.bytes : line.fmas) = rows <= 4 ? static_cast<double>(bytes) : static_cast<double>(rows * in * outs);
  time_line(m, o, line, out);
}

struct PastMemory {
  std::size_t keys = 0, values, size;
  std::int64_t head_dim, count;
  Buffer memory;
  std::vector<std::vector<std::byte*>> blocks;
  mutable std::vector<std::byte> record;
  PastMemory(std::int64_t kv_heads, std::int64_t dim, DType dtype, std::int64_t tokens, std::size_t least)
      : values(static_cast<std::size_t>(kv_heads * dim * kernels::kBlockTokens) * size_of(dtype)),
        size(2 * values),
        head_dim(dim) {
    const std::int64_t per = (tokens + kernels::kBlockTokens - 1) / kernels::kBlockTokens;
    count = std::max<std::int64_t>(1, static_cast<std::int64_t>(least / (size * static_cast<std::size_t>(per))));
    const auto elements = static_cast<std::int64_t>(size / size_of(dtype));
    memory = random_buffer(dtype, {count * per, elements}, 5);
    for (std::int64_t i = 0; i < count; ++i) {
      auto& list = blocks.emplace_back();
      for (std::int64_t b = 0; b < per; ++b) {
        list.push_back(memory.view().as<std::byte>() + static_cast<std::size_t>(i * per + b) * size);
      }
    }
  }
  kernels::PastLayer layer(DType dtype) const {
    return {.keys = keys, .values = values, .head_dim = head_dim, .dtype = dtype};
  }
  // One sequence of `rows` rows after `before` tokens, in the past of this round.
  kernels::Batch batch(const kernels::Ops& ops, kernels::Device& device, std::int64_t round, std::int64_t rows,
                       std::int64_t before) const {
    const kernels::Sequence s{
        .rows = rows, .past = before, .blocks = blocks[static_cast<std::size_t>(round % count)].data()};
    record.resize(kernels::batch_bytes({&s, 1}));
    return ops.memory.begin(device, {&s, 1}, record.data());
  }
};

void bench_attend(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t kv_heads, std::int64_t per_group,
                  std::int64_t dim, DType dtype, std::int64_t depth, std::int64_t rows) {
  const std::string shape =
      fmt::format("{} rows at depth {}, {}x{} heads of {} {}", rows, depth, kv_heads, per_group, dim, name_of(dtype));
  if (!wanted(o, "attend", shape)) return;
  const PastMemory past(kv_heads, dim, dtype, depth, rows == 1 ? kCold : 1);
  const Buffer q = random_buffer(DType::f32, {rows, kv_heads, per_group, dim}, 6);
  const Buffer y(DType::f32, {rows, kv_heads * per_group, dim}), want(DType::f32, {rows, kv_heads * per_group, dim});
  const auto run = [&](const kernels::Ops& ops, kernels::Device& device, const View& to, int round) {
    kernels::Attend a;
    a.q = q.view();
    a.out = to;
    a.batch = past.batch(ops, device, round, rows, depth - rows);
    a.layer = past.layer(dtype);
    a.scale = 1 / std::sqrt(static_cast<float>(dim));
    ops.attend(device, a);
  };
  check(m, "attend " + shape, y.view(), want.view(), 1e-3f,
        [&](const auto& ops, auto& device, const View& to) { run(ops, device, to, 0); });
  Line line{"attend", shape, 0, 0, [&](int round) { run(m.ops, *m.device, y.view(), round); }};
  if (rows == 1) {
    line.bytes = static_cast<double>(depth * kv_heads * dim * 2) * static_cast<double>(size_of(dtype));
  } else {
    line.fmas = static_cast<double>(kv_heads * per_group * dim * 2) *
                (static_cast<double>(rows) * static_cast<double>(depth - rows) +
                 static_cast<double>(rows) * static_cast<double>(rows + 1) / 2);
  }
  time_line(m, o, line, out);
}

// Three hidden states side by side, as queries, keys and values lie: the first is used.
struct Wide {
  Buffer all;
  View first;
  Wide(std::int64_t rows, std::int64_t hidden, std::uint64_t seed)
      : all(random_buffer(DType::f32, {rows, 3 * hidden}, seed)), first(all.view().columns(0, hidden)) {}
  View heads(std::int64_t dim, int which) const {
    View v(all.view().as<float>() + which * first[1], DType::f32, {first[0], first[1] / dim, dim});
    v.stride[0] = first.step(0);
    return v;
  }
};

Buffer random_ids(std::int64_t n, std::int64_t limit) {
  Buffer ids(DType::i32, {n});
  for (std::int64_t i = 0; i < n; ++i) {
    ids.span<std::int32_t>()[static_cast<std::size_t>(i)] =
        static_cast<std::int32_t>(random_bits(7, static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(limit));
  }
  return ids;
}

void bench_norm(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t rows, std::int64_t hidden) {
  const std::string shape = fmt::format("{} x {}", rows, hidden);
  if (!wanted(o, "norm", shape)) return;
  const Buffer x = random_buffer(DType::f32, {rows, hidden}, 1), w = random_buffer(DType::f32, {hidden}, 2);
  const Buffer b = random_buffer(DType::f32, {hidden}, 3), y(DType::f32, {rows, hidden}),
               want(DType::f32, {rows, hidden});
  const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const View& to) {
    ops.norm(device, {.x = x.view(), .weight = w.view(), .bias = b.view(), .out = to});
  };
  check(m, "norm " + shape, y.view(), want.view(), 1e-4f, call);
  const double bytes = static_cast<double>(2 * rows * hidden + 2 * hidden) * 4;
  time_line(m, o, {"norm", shape, bytes, 0, [&](int) { call(m.ops, *m.device, y.view()); }}, out);
}

void bench_embed(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t hidden, DType dtype) {
  const auto shape = [&](std::int64_t rows) { return fmt::format("{} x {} {}", rows, hidden, name_of(dtype)); };
  if (!wanted(o, "embed", shape(1)) && !wanted(o, "embed", shape(128))) return;
  const std::int64_t vocab = hidden == 768 ? 50257 : 32000;
  // Other ids in each round, of most of the table: more than the caches hold.
  constexpr std::int64_t kIds = 1 << 16;
  const Buffer table = random_buffer(dtype, {vocab, hidden}, 1), ids = random_ids(kIds, vocab);
  for (const std::int64_t rows : {1, 128}) {
    const Buffer y(DType::f32, {rows, hidden}), want(DType::f32, {rows, hidden});
    const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const View& to, int round) {
      ops.embed(device, {.ids = ids.view().rows(round % (kIds / rows) * rows, rows), .table = table.view(), .out = to});
    };
    check(m, "embed " + shape(rows), y.view(), want.view(), 0,
          [&](const auto& ops, auto& device, const View& to) { call(ops, device, to, 0); });
    const double bytes = static_cast<double>(rows * hidden) * static_cast<double>(size_of(dtype) + 4);
    time_line(m, o, {"embed", shape(rows), bytes, 0, [&](int i) { call(m.ops, *m.device, y.view(), i); }}, out);
  }
}

void bench_pick(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t rows, std::int64_t hidden) {
  const std::string shape = fmt::format("{} x {}", rows, hidden);
  if (!wanted(o, "pick", shape)) return;
  const Buffer x = random_buffer(DType::f32, {2 * rows, hidden}, 1), ids = random_ids(rows, 2 * rows);
  const Buffer y(DType::f32, {rows, hidden}), want(DType::f32, {rows, hidden});
  const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const View& to) {
    ops.pick(device, {.x = x.view(), .rows = ids.view(), .out = to});
  };
  check(m, "pick " + shape, y.view(), want.view(), 0, call);
  const double bytes = static_cast<double>(2 * rows * hidden) * 4;
  time_line(m, o, {"pick", shape, bytes, 0, [&](int) { call(m.ops, *m.device, y.view()); }}, out);
}

void bench_rotate(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t rows, std::int64_t hidden,
                  std::int64_t dim) {
  const std::string shape = fmt::format("{} x {}, heads of {}", rows, hidden, dim);
  const Buffer positions = random_ids(rows, 2048);
  const Buffer cos(DType::f32, {rows, dim / 2}), sin(DType::f32, {rows, dim / 2});
  const auto angles = [&](const kernels::Ops& ops, kernels::Device& device, const View& c, const View& s) {
    ops.angles(device, {.positions = positions.view(), .cos = c, .sin = s});
  };
  angles(m.ops, *m.device, cos.view(), sin.view());
  if (wanted(o, "angles", shape)) {
    const Buffer c(DType::f32, {rows, dim / 2}), s(DType::f32, {rows, dim / 2});
    const auto& naive = kernels::table("naive");
    angles(naive, *naive.open(0), c.view(), s.view());
    compare("angles " + shape, cos.view(), c.view(), 1e-5f);
    compare("angles " + shape, sin.view(), s.view(), 1e-5f);
    const double bytes = static_cast<double>(rows * (dim + 1)) * 4;
    time_line(m, o, {"angles", shape, bytes, 0, [&](int) { angles(m.ops, *m.device, cos.view(), sin.view()); }}, out);
  }
  if (!wanted(o, "rotate", shape)) return;
  const Wide x(rows, hidden, 1), want(rows, hidden, 1);
  const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const View& in_place) {
    View v(in_place.data, DType::f32, {rows, 1, hidden / dim, dim});
    v.stride[0] = in_place.step(0);
    ops.rotate(device, {.x = v, .cos = cos.view(), .sin = sin.view()});
  };
  check(m, "rotate " + shape, x.first, want.first, 1e-5f, call);
  const double bytes = static_cast<double>(2 * rows * hidden + rows * dim) * 4;
  time_line(m, o, {"rotate", shape, bytes, 0, [&](int) { call(m.ops, *m.device, x.first); }}, out);
}

void bench_append(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t hidden, std::int64_t dim,
                  DType dtype) {
  const auto shape = [&](std::int64_t rows) {
    return fmt::format("{} x {}, heads of {} {}", rows, hidden, dim, name_of(dtype));
  };
  if (!wanted(o, "append", shape(1)) && !wanted(o, "append", shape(128))) return;
  constexpr std::int64_t kTokens = 512;
  const PastMemory past(hidden / dim, dim, dtype, kTokens, kCold), got(hidden / dim, dim, dtype, kTokens, 1),
      want(hidden / dim, dim, dtype, kTokens, 1);
  for (const std::int64_t rows : {1, 128}) {
    const Wide x(rows, hidden, 1);
    const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const PastMemory& to, int round) {
      // The last tokens of the past: one row is the last of its block, 128 are two blocks.
      const kernels::Batch batch = to.batch(ops, device, round, rows, kTokens - rows);
      ops.append(device, {.k = x.heads(dim, 1), .v = x.heads(dim, 2), .batch = batch, .layer = to.layer(dtype)});
    };
    const auto& naive = kernels::table("naive");
    call(m.ops, *m.device, got, 0);
    call(naive, *naive.open(0), want, 0);
    compare("append " + shape(rows), got.memory.view(), want.memory.view(), 0);
    const double bytes = static_cast<double>(2 * rows * hidden) * static_cast<double>(size_of(dtype) + 4);
    time_line(m, o, {"append", shape(rows), bytes, 0, [&](int i) { call(m.ops, *m.device, past, i); }}, out);
  }
}

// Whole matrices too: convert's use is to load weights.
void bench_convert(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t rows, std::int64_t hidden,
                   DType from, DType to, bool transpose) {
  const std::string shape =
      fmt::format("{} x {} {} to {}{}", rows, hidden, name_of(from), name_of(to), transpose ? ", transposed" : "");
  if (!wanted(o, "convert", shape)) return;
  const Buffer x = random_buffer(from, {rows, hidden}, 1);
  const auto output = [&] { return transpose ? Buffer(to, {hidden, rows}) : Buffer(to, {rows, hidden}); };
  const Buffer y = output(), want = output();
  const auto call = [&](const kernels::Ops& ops, kernels::Device& device, const View& view) {
    ops.convert(device, {.from = x.view(), .to = view, .transpose = transpose});
  };
  check(m, "convert " + shape, y.view(), want.view(), 0, call);
  const double bytes = static_cast<double>(rows * hidden) * static_cast<double>(size_of(from) + size_of(to));
  time_line(m, o, {"convert", shape, bytes, 0, [&](int) { call(m.ops, *m.device, y.view()); }}, out);
}

// Activations inside linear, told apart from it by the shortest possible rows.
void bench_acts(Machine& m, const OpOptions& o, nlohmann::json& out) {
  const std::int64_t rows = 128, outs = 3072, in = 16;
  const Buffer x = random_buffer(DType::f32, {rows, in}, 1), w = random_buffer(DType::f32, {outs, in}, 2);
  const Buffer y(DType::f32, {rows, outs});
  for (const auto& [act, name] : {std::pair{Act::identity, "none"},
                                  {Act::gelu, "gelu"},
                                  {Act::gelu_tanh, "gelu_tanh"},
                                  {Act::silu, "silu"},
                                  {Act::relu, "relu"}}) {
    const std::string shape = fmt::format("{} x [{}, {}] {}", rows, outs, in, name);
    if (!wanted(o, "linear + act", shape)) continue;
    const kernels::Linear a{.x = x.view(), .weight = w.view(), .out = y.view(), .act = act};
    check_linear(m, "linear + act " + shape, a);
    time_line(
        m, o,
        {"linear + act", shape, 0, static_cast<double>(rows * outs * in), [&](int) { m.ops.linear(*m.device, a); }},
        out);
  }
}

constexpr DType kFormats[] = {DType::f32, DType::f16, DType::bf16};

// The ops that only move or walk through rows.
void bench_rows(Machine& m, const OpOptions& o, nlohmann::json& out, std::int64_t hidden, std::int64_t dim) {
  for (const DType dtype : kFormats) bench_embed(m, o, out, hidden, dtype);
  for (const std::int64_t rows : {1, 128}) bench_norm(m, o, out, rows, hidden);
  for (const std::int64_t rows : {1, 128}) bench_rotate(m, o, out, rows, hidden, dim);
  for (const DType dtype : kFormats) bench_append(m, o, out, hidden, dim, dtype);
  for (const std::int64_t rows : {1, 128}) bench_pick(m, o, out, rows, hidden);
  for (const DType from : kFormats) {
    for (const DType to : kFormats) {
      for (const bool transpose : {false, true}) {
        for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{128}, hidden}) {
          bench_convert(m, o, out, rows, hidden, from, to, transpose);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const OpOptions o = bench::read_op_options(kUsage, argc, argv, 1);
  Machine m(o.threads);
  if (!o.json) fmt::print("{}\n\n", m.device->describe());
  bench::print_head(o);
  nlohmann::json out = nlohmann::json::array();
  for (const auto& [in, outs] : {std::pair<std::int64_t, std::int64_t>{768, 2304},
                                 {768, 768},
                                 {768, 3072},
                                 {3072, 768},
                                 {768, 50257},
                                 {2048, 8192},
                                 {4096, 16384},
                                 {4544, 18176}}) {
    for (const DType dtype : kFormats) {
      for (const std::int64_t rows : {1, 4, 8, 16, 128, 512}) bench_linear(m, o, out, in, outs, dtype, rows);
    }
  }
  bench::bench_quantized(m, o, out);
  for (const DType dtype : kFormats) {
    for (const std::int64_t depth : {512, 2048}) {
      bench_attend(m, o, out, 12, 1, 64, dtype, depth, 1);
      bench_attend(m, o, out, 1, 71, 64, dtype, depth, 1);
      bench_attend(m, o, out, 32, 1, 128, dtype, depth, 1);
    }
    bench_attend(m, o, out, 12, 1, 64, dtype, 512, 512);
    bench_attend(m, o, out, 1, 71, 64, dtype, 512, 512);
  }
  bench_rows(m, o, out, 768, 64);
  bench_rows(m, o, out, 2048, 64);
  bench_rows(m, o, out, 4096, 128);
  bench_acts(m, o, out);
  if (o.json) fmt::print("{}\n", out.dump(2));
}
