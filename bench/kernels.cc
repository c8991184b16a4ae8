// bench_kernels [--output json] [--only WORD] [--isa NAME] [--threads N] [--seconds S] [--clock cpu]
//
// Every op of the cpu table at shapes of real models (GPT-2 small 768/3072/50257, a 1.1B model 2048/8192, 7B models
// 4096/16384 and 4544/18176), checked against naive on a sample, then timed in turn with the peak of this machine:
// each round measures the peak and the op within the same fraction of a second; medians of rounds are printed with
// their share. Weights and pasts cycle through more memory than the caches hold.
#include "kernels/kernels.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/random.h"
#include "bench/peak.h"
#include "tensor/buffer.h"
#include "tensor/half.h"

namespace {

using namespace pkv;
using kernels::Act;

constexpr std::size_t kCold = std::size_t{640} << 20;  // bytes of weights or past to cycle through

struct Options {
  bool json = false;
  std::string only;
  double seconds = 1;  // of timing per line
  int threads = 0;
};

struct Machine {
  const kernels::Ops& ops = kernels::table("cpu");
  std::unique_ptr<kernels::Device> device;
  WorkerPool pool;
  bench::Memory memory{std::size_t{128} << 20};
  explicit Machine(int threads) : device(ops.open(threads)), pool(threads) {}
};

Buffer random_buffer(DType dtype, std::initializer_list<std::int64_t> shape, std::uint64_t seed) {
  Buffer b(dtype, shape);
  const auto n = static_cast<std::size_t>(b.view().elements());
  for (std::size_t i = 0; i < n; ++i) {
    // A short cycle of values: making hundreds of millions of random numbers would take longer than the timing.
    const float x = random_signed(seed, i % 8191);
    if (dtype == DType::f16) b.span<f16>()[i] = to_f16(x);
    if (dtype == DType::bf16) b.span<bf16>()[i] = to_bf16(x);
    if (dtype == DType::f32) b.span<float>()[i] = x;
  }
  return b;
}

struct Line {
  std::string op, shape;
  double bytes = 0, fmas = 0;  // of one call; the share is of the read rate when bytes are given
  std::function<void(int round)> call;
};

void print_head(const Options& o) {
  if (!o.json) fmt::print("| op | shape | us | rate | peak | share | best |\n|---|---|---|---|---|---|---|\n");
}

// Times `line` in rounds: peak, op, peak, op, ...
void time_line(Machine& m, const Options& o, const Line& line, nlohmann::json& out) {
  if (!o.only.empty() && (line.op + " " + line.shape).find(o.only) == std::string::npos) return;
  line.call(0);
  double once = bench::seconds();
  line.call(1);
  once = bench::seconds() - once;
  const int calls = std::max(1, static_cast<int>(0.01 / once));
  const bool memory_bound = line.bytes > 0;
  std::vector<double> peaks, rates, shares, times;
  int round = 2;
  for (const double end = bench::seconds() + o.seconds; bench::seconds() < end || rates.size() < 5;) {
    const auto measure_peak = [&] {
      return memory_bound ? bench::best_read_rate(m.pool, m.memory) : bench::fma_rate(m.pool);
    };
    const double before = measure_peak();
    const double start = bench::seconds();
    for (int i = 0; i < calls; ++i) line.call(round++);
    const double time = (bench::seconds() - start) / calls;
    const double peak = (before + measure_peak()) / 2;
    const double rate = (memory_bound ? line.bytes : line.fmas) * 1e-9 / time;
    peaks.push_back(peak);
    rates.push_back(rate);
    shares.push_back(rate / peak);
    times.push_back(time);
  }
  const double us = bench::median(times) * 1e6, rate = bench::median(rates), peak = bench::median(peaks),
               share = bench::median(shares);
  // On a machine that others use too, the best round says more: the least disturbed op over the least disturbed peak.
  const double best = *std::max_element(rates.begin(), rates.end()) / *std::max_element(peaks.begin(), peaks.end());
  if (o.json) {
    out.push_back({{"op", line.op},
                   {"shape", line.shape},
                   {"us", us},
                   {"unit", memory_bound ? "GB/s" : "1e9 multiply-adds/s"},
                   {"rate", rate},
                   {"peak", peak},
                   {"share", share},
                   {"best_share", best}});
  } else {
    fmt::print("| {} | {} | {:.1f} | {:.1f} {} | {:.1f} | {:.2f} | {:.2f} |\n", line.op, line.shape, us, rate,
               memory_bound ? "GB/s" : "G/s", peak, share, best);
    std::fflush(stdout);
  }
}

[[noreturn]] void wrong(const std::string& what) {
  fmt::print(stderr, "bench_kernels: {} differs from naive; not timed\n", what);
  std::exit(1);
}

void check_linear(Machine& m, const kernels::Linear& a) {
  const auto& naive = kernels::table("naive");
  kernels::Linear sample = a;
  const std::int64_t outs = std::min<std::int64_t>(a.weight[0], 32), rows = std::min<std::int64_t>(a.x[0], 7);
  sample.weight = a.weight.rows(0, outs);
  Buffer got(DType::f32, {rows, outs}), want(DType::f32, {rows, outs});
  sample.x = a.x.rows(0, rows);
  sample.out = got.view();
  m.ops.linear(*m.device, sample);
  sample.out = want.view();
  naive.linear(*naive.open(1), sample);
  for (std::size_t i = 0; i < got.span<float>().size(); ++i) {
    if (!(std::fabs(got.span<float>()[i] - want.span<float>()[i]) < 1e-2)) wrong("linear");
  }
}

void bench_linear(Machine& m, const Options& o, nlohmann::json& out, std::int64_t in, std::int64_t outs, DType dtype,
                  std::int64_t rows) {
  const std::string shape = fmt::format("{} x [{}, {}] {}", rows, outs, in, name_of(dtype));
  if (!o.only.empty() && ("linear " + shape).find(o.only) == std::string::npos) return;
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
  check_linear(m, {.x = x, .weight = weights.view().rows(0, outs), .out = y.view()});
  Line line{"linear", shape, 0, 0, call};
  (rows <= 4 ? line.bytes : line.fmas) = rows <= 4 ? static_cast<double>(bytes) : static_cast<double>(rows * in * outs);
  time_line(m, o, line, out);
}

struct PastMemory {
  std::size_t keys = 0, values, size;
  std::int64_t count;
  Buffer memory;
  std::vector<std::vector<std::byte*>> blocks;
  PastMemory(std::int64_t kv_heads, std::int64_t dim, DType dtype, std::int64_t tokens, std::size_t least)
      : values(static_cast<std::size_t>(kv_heads * dim * kernels::kBlockTokens) * size_of(dtype)), size(2 * values) {
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
  kernels::PastLayer layer(std::int64_t i, DType dtype) const {
    return {blocks[static_cast<std::size_t>(i % count)].data(), kernels::kBlockTokens, keys, values, dtype};
  }
};

void bench_attend(Machine& m, const Options& o, nlohmann::json& out, std::int64_t kv_heads, std::int64_t per_group,
                  std::int64_t dim, DType dtype, std::int64_t depth, std::int64_t rows) {
  const std::string shape =
      fmt::format("{} rows at depth {}, {}x{} heads of {} {}", rows, depth, kv_heads, per_group, dim, name_of(dtype));
  if (!o.only.empty() && ("attend " + shape).find(o.only) == std::string::npos) return;
  const PastMemory past(kv_heads, dim, dtype, depth, rows == 1 ? kCold : 1);
  const Buffer q = random_buffer(DType::f32, {rows, kv_heads, per_group, dim}, 6);
  const Buffer y(DType::f32, {rows, kv_heads * per_group, dim}), want(DType::f32, {rows, kv_heads * per_group, dim});
  const auto run = [&](const kernels::Ops& ops, kernels::Device& device, const View& to, int round) {
    const kernels::Sequence s{0, rows, depth - rows, past.layer(round, dtype)};
    kernels::Attend a;
    a.q = q.view();
    a.out = to;
    a.sequences = {&s, 1};
    a.scale = 1 / std::sqrt(static_cast<float>(dim));
    ops.attend(device, a);
  };
  run(m.ops, *m.device, y.view(), 0);
  const auto& naive = kernels::table("naive");
  run(naive, *naive.open(0), want.view(), 0);
  for (std::int64_t i = 0; i < y.view().elements(); ++i) {
    if (!(std::fabs(y.view().as<float>()[i] - want.view().as<float>()[i]) < 1e-3)) wrong("attend");
  }
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

void bench_rows(Machine& m, const Options& o, nlohmann::json& out, std::int64_t rows, std::int64_t hidden) {
  const Buffer x = random_buffer(DType::f32, {rows, hidden}, 1), w = random_buffer(DType::f32, {hidden}, 2);
  const Buffer y(DType::f32, {rows, hidden});
  const double bytes = static_cast<double>(rows * hidden) * 4;
  time_line(m, o,
            {"norm", fmt::format("{} x {}", rows, hidden), bytes, 0,
             [&](int) {
               m.ops.norm(*m.device, {x.view(), w.view(), w.view(), y.view(), 1e-5f});
             }},
            out);
}

// Activations inside linear, told apart from it by the shortest possible rows.
void bench_acts(Machine& m, const Options& o, nlohmann::json& out) {
  const std::int64_t rows = 128, outs = 3072, in = 16;
  const Buffer x = random_buffer(DType::f32, {rows, in}, 1), w = random_buffer(DType::f32, {outs, in}, 2);
  const Buffer y(DType::f32, {rows, outs});
  for (const auto& [act, name] : {std::pair{Act::linear, "none"},
                                  {Act::gelu, "gelu"},
                                  {Act::gelu_tanh, "gelu_tanh"},
                                  {Act::silu, "silu"},
                                  {Act::relu, "relu"}}) {
    time_line(m, o,
              {"linear + act", fmt::format("{} x [{}, {}] {}", rows, outs, in, name), 0,
               static_cast<double>(rows * outs * in),
               [&, act = act](int) {
                 m.ops.linear(*m.device, {.x = x.view(), .weight = w.view(), .out = y.view(), .act = act});
               }},
              out);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], value = argv[i + 1];
    if (name == "--output") o.json = value == "json";
    if (name == "--only") o.only = value;
    if (name == "--isa" && !bench::choose_instruction_set(value)) {
      fmt::print(stderr, "bench_kernels: this machine has no instruction set {}\n", value);
      return 2;
    }
    if (name == "--seconds") o.seconds = std::atof(argv[i + 1]);
    if (name == "--clock") bench::cpu_clock = value == "cpu";
    if (name == "--threads") o.threads = std::atoi(argv[i + 1]);
  }
  Machine m(o.threads);
  if (!o.json) fmt::print("{}\n\n", m.device->describe());
  print_head(o);
  nlohmann::json out = nlohmann::json::array();
  for (const auto& [in, outs] : {std::pair<std::int64_t, std::int64_t>{768, 2304},
                                 {768, 768},
                                 {768, 3072},
                                 {3072, 768},
                                 {768, 50257},
                                 {2048, 8192},
                                 {4096, 16384},
                                 {4544, 18176}}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const std::int64_t rows : {1, 4, 8, 16, 128, 512}) bench_linear(m, o, out, in, outs, dtype, rows);
    }
  }
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t depth : {512, 2048}) {
      bench_attend(m, o, out, 12, 1, 64, dtype, depth, 1);
      bench_attend(m, o, out, 1, 71, 64, dtype, depth, 1);
      bench_attend(m, o, out, 32, 1, 128, dtype, depth, 1);
    }
    bench_attend(m, o, out, 12, 1, 64, dtype, 512, 512);
    bench_attend(m, o, out, 1, 71, 64, dtype, 512, 512);
  }
  for (const std::int64_t rows : {1, 128}) bench_rows(m, o, out, rows, 768);
  bench_acts(m, o, out);
  if (o.json) fmt::print("{}\n", out.dump(2));
}
