// How fast does a whole model read a prompt and go on from it? Without --model, GPT-2 small's shape with random fp32
// weights, written to a temporary folder and loaded like any other; tools/make_synthetic.py writes others. Prefill and
// decoding are timed in turn with the machine's peak, both with the same instruction set; medians are printed with
// their share: (weight + past bytes per token x tokens/s) / read bandwidth for decoding, multiply-adds without the
// output layer / multiply-add rate for prefill. Then it is checked that the last logits have the same bits when the
// text is fed whole, in pieces, and with other numbers of threads: last, for it opens more models, which the peak of
// memory must not contain. The hash of the logits says that two runs computed the same. With --by-op, where the time of
// each pass goes, operation by operation, is printed as well. With --copied,
// weights are copied from their file first.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "base/error.h"
#include "bench/clock.h"
#include "bench/options.h"
#include "bench/synthetic.h"
#include "bench/timed_ops.h"
#include "engine/model/cost.h"
#include "engine/model/model.h"

namespace {

using namespace pkv;
namespace fs = std::filesystem;

constexpr std::string_view kUsage =
    "bench_decode [--model FOLDER] [--load-in F] [--dtype D] [--past-dtype D] [--prefill N,...] [--depth N,...]\n"
    "             [--rounds N] [--threads N] [--isa NAME] [--no-check] [--by-op] [--copied] [--output json]\n";

struct Options {
  int threads = 0, rounds = 7;
  bool json = false, check = true, by_op = false;
  fs::path model;
  model::LoadOptions formats;
  std::vector<std::int64_t> prefill{128, 512, 2048}, depth{0, 512, 2048};  // those that fit
};

model::Logits feed(const model::Model& m, model::Past& past, std::span<const std::int32_t> ids) {
  const model::Feed f{.ids = ids, .past = &past};
  return m.forward({&f, 1}, model::Want::last);
}

// FNV-1a over the bytes.
std::uint64_t hash(const model::Logits& logits) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const float x : logits.span<float>()) h = (h ^ std::bit_cast<std::uint32_t>(x)) * 0x100000001b3u;
  return h;
}

model::Model open_model(const Options& o, int threads, bool by_op = false) {
  const kernels::Backend cpu("cpu", threads);
  return model::load(hf::Folder::open(o.model), by_op ? bench::timed(cpu) : cpu, o.formats);
}

constexpr std::int64_t kChecked = 130;

bool fits(const model::Model& m, std::int64_t tokens) {
  return !m.card().context_is_hard || tokens <= m.card().context;
}

// The last logits of a text that ends just after a block of the past began, or with the context, fed in pieces of
// `sizes`, the last repeated.
std::uint64_t last_hash(const model::Model& m, std::vector<std::int64_t> sizes) {
  const auto ids = bench::text(fits(m, kChecked) ? kChecked : m.card().context, m.card().vocab);
  model::Past past = m.new_past();
  std::uint64_t h = 0;
  for (std::size_t at = 0, i = 0; at < ids.size(); ++i) {
    const auto n = std::min(ids.size() - at, static_cast<std::size_t>(sizes[std::min(i, sizes.size() - 1)]));
    h = hash(feed(m, past, std::span(ids).subspan(at, n)));
    at += n;
  }
  return h;
}

std::uint64_t checked_hash(const model::Model& m, const Options& o) {
  const std::uint64_t whole = last_hash(m, {kChecked});
  if (!o.check) return whole;
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{97, 1}, {1, 127, 1}, {5, 16, 17}}) {
    if (last_hash(m, sizes) != whole) throw std::runtime_error("fed in pieces, the logits have other bits");
  }
  for (const int threads : {1, 3}) {
    if (last_hash(open_model(o, threads), {kChecked}) != whole) {
      throw std::runtime_error(fmt::format("with {} threads, the logits have other bits", threads));
    }
  }
  return whole;
}

struct Line {
  std::string work;
  double tokens_per_second = 0, share = 0, ms = 0;
  double seconds = 0;                  // of all rounds
  std::vector<bench::OpTime> by_op{};  // of these; empty unless they were asked for
};

constexpr std::int64_t kSteps = 8;  // tokens decoded in a round

struct Bench {
  const model::Model& m;
  kernels::Peak& peak;
  int rounds;

  Line decode(std::int64_t depth) const {
    const auto ids = bench::text(depth + kSteps + 1, m.card().vocab);
    model::Past past = m.new_past();
    feed(m, past, std::span(ids).first(static_cast<std::size_t>(depth + 1)));
    feed(m, past, std::span(ids).last(1));  // brings pages and buffers into being
    past.truncate(depth + 1);
    const model::Cost cost = model::cost_of(m);
    std::vector<double> rates, shares;
    double total = 0;
    bench::take_times();
    for (int i = 0; i < rounds; ++i) {
      const double before = peak.read_rate();
      const double start = bench::seconds();
      for (std::int64_t k = 0; k < kSteps; ++k) {
        feed(m, past, std::span(ids).subspan(static_cast<std::size_t>(depth + 1 + k), 1));
      }
      const double time = bench::seconds() - start;
      total += time;
      rates.push_back(static_cast<double>(kSteps) / time);
      const double best = (before + peak.read_rate()) / 2;
      shares.push_back(cost.step_bytes(depth + kSteps / 2) * rates.back() / best);
      past.truncate(depth + 1);
    }
    return {fmt::format("decode at depth {}", depth),
            bench::median(rates),
            bench::median(shares),
            1e3 / bench::median(rates),
            total,
            bench::take_times()};
  }

  Line prefill(std::int64_t tokens) const {
    const auto ids = bench::text(tokens, m.card().vocab);
    const double work = model::cost_of(m).call_fmas(0, tokens);
    std::vector<double> rates, shares;
    model::Past first = m.new_past();
    feed(m, first, ids);  // brings pages and buffers into being
    double total = 0;
    bench::take_times();
    for (int i = 0; i < rounds; ++i) {
      model::Past past = m.new_past();
      const double before = peak.fma_rate();
      const double start = bench::seconds();
      feed(m, past, ids);
      const double time = bench::seconds() - start;
      total += time;
      const double best = (before + peak.fma_rate()) / 2;
      rates.push_back(static_cast<double>(tokens) / time);
      shares.push_back(work / time / best);
    }
    return {fmt::format("prefill of {}", tokens),
            bench::median(rates),
            bench::median(shares),
            1e3 * static_cast<double>(tokens) / bench::median(rates),
            total,
            bench::take_times()};
  }
};

std::optional<DType> dtype_of(const bench::Options& given, std::string_view option) {
  const auto name = given.text(option);
  if (!name) return {};
  if (const auto dtype = from_name(*name); dtype && is_float(*dtype)) return dtype;
  given.refuse(fmt::format("{} is fp32, fp16 or bf16, not '{}'", option, *name));
}

Options parse(int argc, char** argv) {
  const bench::Options given(kUsage, argc, argv);
  Options o;
  o.threads = given.threads();
  o.rounds = static_cast<int>(given.number("--rounds", o.rounds, 1));
  o.json = given.json();
  o.check = !given.has("--no-check");
  o.formats.copied = given.has("--copied");
  o.by_op = given.has("--by-op");
  o.model = given.text("--model").value_or("");
  if (const auto d = dtype_of(given, "--dtype")) o.formats.dtype = *d;
  if (const auto d = dtype_of(given, "--past-dtype")) o.formats.past_dtype = *d;
  if (const auto name = given.text("--load-in")) {
    const auto format = quant::format_from_name(*name);
    if (!format) given.refuse(fmt::format("--load-in is int8, fp4 or nf4, not '{}'", *name));
    o.formats.quantize.emplace().format = *format;
  }
  o.prefill = given.numbers("--prefill", o.prefill, 1);
  o.depth = given.numbers("--depth", o.depth, 0);
  given.choose_instruction_set();
  return o;
}

std::size_t most_resident() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

void print_by_op(const std::vector<Line>& lines) {
  for (const Line& l : lines) {
    fmt::print("\n| {} | calls | microseconds each | share of the time |\n|---|---:|---:|---:|\n", l.work);
    double rest = l.seconds;
    for (const bench::OpTime& t : l.by_op) {
      fmt::print("| {} | {} | {:.1f} | {:.3f} |\n", t.what, t.calls, 1e6 * t.seconds / t.calls, t.seconds / l.seconds);
      rest -= t.seconds;
    }
    fmt::print("| between them | | | {:.3f} |\n", rest / l.seconds);
  }
}

int run(Options options) {
  std::optional<bench::Folder> temporary;
  std::string name = options.model.filename().string();
  if (options.model.empty()) {
    bench::write_gpt2(temporary.emplace().path, {});
    options.model = temporary->path;
    name = "GPT-2 small's shape";
  }
  const double before = bench::seconds();
  const model::Model m = open_model(options, options.threads, options.by_op);
  const double opening = bench::seconds() - before;
  // What loading, prefill and decoding of the one model took: everything after this line holds the memory that the
  // read rate is measured on as well, all of it resident, so it is subtracted.
  const std::size_t to_open = most_resident();
  const auto peak = m.backend().peak();
  const Bench b{m, *peak, options.rounds};
  std::vector<Line> lines;
  const auto left_out = [&](std::string_view work, std::int64_t n) {
    fmt::print(stderr, "bench_decode: no {} {}: the context is {} tokens\n", work, n, m.card().context);
  };
  for (const std::int64_t n : options.prefill) {
    fits(m, n) ? lines.push_back(b.prefill(n)) : left_out("prefill of", n);
  }
  for (const std::int64_t n : options.depth) {
    fits(m, n + kSteps + 1) ? lines.push_back(b.decode(n)) : left_out("decoding at depth", n);
  }
  const double peak_gib =
      static_cast<double>(std::max(to_open, most_resident() - peak->bytes())) / static_cast<double>(1 << 30);
  const std::uint64_t logits = checked_hash(m, options);
  const std::string formats = fmt::format("{}, past {}", m.weights().format(), name_of(m.past_dtype()));
  if (options.json) {
    nlohmann::json j{{"model", name},
                     {"formats", formats},
                     {"backend", m.backend().describe()},
                     {"parameters", m.weights().parameters},
                     {"open_seconds", opening},
                     {"peak_gib", peak_gib},
                     {"logits_hash", fmt::format("{:016x}", logits)},
                     {"lines", nlohmann::json::array()}};
    for (const Line& l : lines) {
      j["lines"].push_back({{"work", l.work}, {"tokens_per_second", l.tokens_per_second}, {"share_of_peak", l.share}});
    }
    fmt::print("{}\n", j.dump(2));
    return 0;
  }
  fmt::print("{}, {}, {}; opened in {:.2f} s, peak memory {:.2f} GiB, logits {:016x}{}\n\n", name, formats,
             m.backend().describe(), opening, peak_gib, logits,
             options.check ? " whole, in pieces, and with 1 and 3 threads" : "");
  fmt::print("| work | tokens/s | ms | share of the measured peak |\n|---|---:|---:|---:|\n");
  for (const Line& l : lines)
    fmt::print("| {} | {:.1f} | {:.1f} | {:.2f} |\n", l.work, l.tokens_per_second, l.ms, l.share);
  if (options.by_op) print_by_op(lines);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try { return run(parse(argc, argv)); } catch (const std::exception& e) {
  fmt::print(stderr, "bench_decode: {}\n", e.what());
  return 1;
}
