// bench_decode [--threads N] [--rounds N] [--output json]
//
// How fast does a whole model read a prompt and go on from it? GPT-2 small's shape with random fp32 weights, written to
// a temporary folder and loaded like any other. First it is checked that feeding in pieces gives the same bits. Then
// prefill of 128 tokens and decoding at depth 0 and 512 are timed in turn with the machine's peak; medians are printed
// with their share: (weight + past bytes per token x tokens/s) / read bandwidth for decoding, multiply-adds without the
// output layer / multiply-add rate for prefill. The hash of the logits says that two runs computed the same.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "base/file.h"
#include "base/random.h"
#include "bench/peak.h"
#include "model/model.h"

namespace {

using namespace pkv;
namespace fs = std::filesystem;

struct Options {
  int threads = 0, rounds = 7;
  bool json = false;
};

struct Shape {
  std::int64_t layers = 12, hidden = 768, heads = 12, vocab = 50257, context = 1024;
};

// Removed with what is in it.
struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("pkv-bench-{}", ::getpid());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

// Tensors share one stretch of random numbers: what they hold does not matter here, only that it is not zero.
class Writer {
 public:
  Writer() : values_(std::size_t{1} << 26) {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = 0.02f * random_signed(1, i % 999983);
  }

  void add(std::string name, std::vector<std::int64_t> shape) {
    std::size_t n = 1;
    for (const std::int64_t d : shape) n *= static_cast<std::size_t>(d);
    tensors_.push_back({.name = std::move(name),
                        .dtype = DType::f32,
                        .shape = std::move(shape),
                        .data = std::as_bytes(std::span(values_).first(n))});
  }

  void write(const fs::path& file) const { hf::write_safetensors(file, tensors_, {}); }

 private:
  std::vector<float> values_;
  std::vector<hf::Tensor> tensors_;
};

void write_gpt2(const Shape& s, const fs::path& folder) {
  write_file(folder / "config.json", nlohmann::json{{"model_type", "gpt2"},
                                                    {"vocab_size", s.vocab},
                                                    {"n_positions", s.context},
                                                    {"n_embd", s.hidden},
                                                    {"n_layer", s.layers},
                                                    {"n_head", s.heads}}
                                         .dump());
  Writer w;
  w.add("wte.weight", {s.vocab, s.hidden});
  w.add("wpe.weight", {s.context, s.hidden});
  const auto norm = [&](const std::string& name) {
    w.add(name + ".weight", {s.hidden}), w.add(name + ".bias", {s.hidden});
  };
  const auto conv = [&](const std::string& name, std::int64_t in, std::int64_t out) {
    w.add(name + ".weight", {in, out}), w.add(name + ".bias", {out});
  };
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string h = "h." + std::to_string(i) + ".";
    norm(h + "ln_1"), norm(h + "ln_2");
    conv(h + "attn.c_attn", s.hidden, 3 * s.hidden), conv(h + "attn.c_proj", s.hidden, s.hidden);
    conv(h + "mlp.c_fc", s.hidden, 4 * s.hidden), conv(h + "mlp.c_proj", 4 * s.hidden, s.hidden);
  }
  norm("ln_f");
  w.write(folder / "model.safetensors");
}

std::vector<std::int32_t> text(std::int64_t n, std::int64_t vocab) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < n; ++i) {
    ids.push_back(
        static_cast<std::int32_t>(random_bits(2, static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(vocab)));
  }
  return ids;
}

model::Logits feed(const model::Model& m, model::Past& past, std::span<const std::int32_t> ids, model::Want want) {
  const model::Feed f{.ids = ids, .past = &past};
  return m.forward({&f, 1}, want);
}

// FNV-1a over the bytes.
std::uint64_t hash(const model::Logits& logits) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const float x : logits.span<float>()) h = (h ^ std::bit_cast<std::uint32_t>(x)) * 0x100000001b3u;
  return h;
}

std::uint64_t checked_hash(const model::Model& m) {
  const auto ids = text(130, m.card().vocab);
  model::Past whole = m.new_past(), pieces = m.new_past();
  const std::uint64_t once = hash(feed(m, whole, ids, model::Want::last));
  feed(m, pieces, std::span(ids).first(97), model::Want::last);
  std::uint64_t last = 0;
  for (std::size_t i = 97; i < ids.size(); ++i)
    last = hash(feed(m, pieces, std::span(ids).subspan(i, 1), model::Want::last));
  if (last != once) throw std::runtime_error("fed in pieces, the logits have other bits: nothing to time");
  return once;
}

struct Line {
  std::string work;
  double tokens_per_second = 0, share = 0;
};

struct Bench {
  const model::Model& m;
  WorkerPool& pool;
  const bench::Memory& memory;
  int rounds;

  Line decode(std::int64_t depth) const {
    constexpr std::int64_t kSteps = 8;
    const auto ids = text(depth + kSteps + 1, m.card().vocab);
    model::Past past = m.new_past();
    feed(m, past, std::span(ids).first(static_cast<std::size_t>(depth + 1)), model::Want::last);
    const model::Card& c = m.card();
    const double weights = static_cast<double>(m.weights().bytes) - static_cast<double>(c.context * c.hidden) * 4;
    const double per_position = static_cast<double>(2 * c.layers * c.kv_heads * c.head_dim) * 4;
    std::vector<double> rates, shares;
    for (int i = 0; i < rounds; ++i) {
      const double peak = bench::best_read_rate(pool, memory) * 1e9;
      const double start = bench::seconds();
      for (std::int64_t k = 0; k < kSteps; ++k) {
        feed(m, past, std::span(ids).subspan(static_cast<std::size_t>(depth + 1 + k), 1), model::Want::last);
      }
      rates.push_back(static_cast<double>(kSteps) / (bench::seconds() - start));
      shares.push_back((weights + per_position * (static_cast<double>(depth) + kSteps / 2.)) * rates.back() / peak);
      past.truncate(depth + 1);
    }
    return {fmt::format("decode, depth {}", depth), bench::median(rates), bench::median(shares)};
  }

  Line prefill(std::int64_t tokens) const {
    const auto ids = text(tokens, m.card().vocab);
    const model::Card& c = m.card();
    const double per_layer =
        static_cast<double>(4 * c.hidden * c.hidden + 2 * c.hidden * c.inner) +
        static_cast<double>(tokens + 1) * static_cast<double>(c.hidden);  // scores and weighted sums
    const double work = static_cast<double>(tokens * c.layers) * per_layer;
    std::vector<double> rates, shares;
    for (int i = 0; i < rounds; ++i) {
      model::Past past = m.new_past();
      const double peak = bench::fma_rate(pool) * 1e9;
      const double start = bench::seconds();
      feed(m, past, ids, model::Want::last);
      const double time = bench::seconds() - start;
      rates.push_back(static_cast<double>(tokens) / time);
      shares.push_back(work / time / peak);
    }
    return {fmt::format("prefill, {} tokens", tokens), bench::median(rates), bench::median(shares)};
  }
};

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--threads") o.threads = std::atoi(argv[i + 1]);
    if (name == "--rounds") o.rounds = std::max(1, std::atoi(argv[i + 1]));
    if (name == "--output") o.json = std::string_view(argv[i + 1]) == "json";
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const Folder folder;
  write_gpt2({}, folder.path);
  const double before = bench::seconds();
  const model::Model m = model::load(hf::Folder::open(folder.path), kernels::Backend("cpu", options.threads));
  const double opening = bench::seconds() - before;
  WorkerPool pool(options.threads);
  const bench::Memory memory(std::size_t{1} << 28);
  const std::uint64_t logits = checked_hash(m);
  const Bench b{m, pool, memory, options.rounds};
  const std::vector<Line> lines{b.decode(0), b.decode(512), b.prefill(128)};
  if (options.json) {
    nlohmann::json j{{"model", "GPT-2 small, fp32"},
                     {"backend", m.backend().device().describe()},
                     {"open_seconds", opening},
                     {"logits_hash", fmt::format("{:016x}", logits)}};
    for (const Line& l : lines) {
      j["lines"].push_back({{"work", l.work}, {"tokens_per_second", l.tokens_per_second}, {"share_of_peak", l.share}});
    }
    fmt::print("{}\n", j.dump(2));
    return 0;
  }
  fmt::print("GPT-2 small's shape, fp32, {}; opened in {:.2f} s; logits {:016x}\n\n", m.backend().device().describe(),
             opening, logits);
  fmt::print("| work | tokens/s | share of the measured peak |\n|---|---:|---:|\n");
  for (const Line& l : lines) fmt::print("| {} | {:.1f} | {:.2f} |\n", l.work, l.tokens_per_second, l.share);
}
