// How fast does a GPU (the table `cuda`) read a prompt and go on from it? Models of known shapes with random weights
// are made in memory, so that none must be carried to a machine: GPT-2 small and Llama-3 8B and Falcon 7B, or what
// --shape names. Decoding at several depths, of several sequences at once, and prefill are timed by the host's clock,
// logits downloaded each time; medians are printed with their share: (weight + past bytes a step x steps/s) / measured
// read rate, and multiply-adds a second. The hash of the last logits says that two runs computed the same.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "bench/clock.h"
#include "bench/options.h"
#include "engine/kernels/cuda/cuda.h"
#include "engine/model/cost.h"
#include "engine/model/model.h"

namespace {

using namespace pkv;

constexpr std::string_view kUsage =
    "bench_gpu [--shape gpt2|llama8b|falcon7b] [--backend NAME] [--dtype D] [--load-in F] [--layers N] [--rounds N]\n"
    "          [--depth N,...] [--batch N,...] [--prefill N,...]\n";

// Tensors share two stretches of random numbers: around 0, and around 1 for norms.
class Made : public hf::Source {
 public:
  Made(std::string name, const nlohmann::json& config, DType dtype)
      : name_(std::move(name)), config_(hf::Config::parse(config.dump(), "config.json")), dtype_(dtype) {
    matrices_.resize(kPool + kMost);
    for (std::size_t i = 0; i < kPool; ++i) matrices_[i] = narrow(0.03f * random_signed(1, i));
    for (std::size_t i = kPool; i < matrices_.size(); ++i) matrices_[i] = matrices_[i - kPool];
    for (std::size_t i = 0; i < kMostWidth; ++i) norms_.push_back(narrow(1 + 0.1f * random_signed(2, i)));
  }

  void add(std::string name, std::vector<std::int64_t> shape, bool norm = false) {
    std::size_t n = 1;
    for (const std::int64_t d : shape) n *= static_cast<std::size_t>(d);
    const std::uint16_t* from =
        norm ? norms_.data() : matrices_.data() + random_bits(3, tensors_.size()) % (kPool / 64) * 64;
    tensors_.push_back({.name = std::move(name),
                        .dtype = dtype_,
                        .shape = std::move(shape),
                        .data = std::as_bytes(std::span(from, n))});
  }
  void done() { std::ranges::sort(tensors_, {}, &containers::Tensor::name); }

  const std::filesystem::path& path() const override { return path_; }
  std::string name() const override { return name_; }
  const hf::Config& config() const override { return config_; }
  const hf::Config* generation_config() const override { return nullptr; }
  std::span<const containers::Tensor> tensors() const override { return tensors_; }
  std::span<const containers::Unreadable> unreadable() const override { return {}; }
  const containers::Tensor* find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &containers::Tensor::name);
    return found == tensors_.end() ? nullptr : &*found;
  }
  std::vector<hf::TokenizerPart> tokenizer() const override { return {}; }
  std::span<const std::string> notes() const override { return {}; }

 private:
  static constexpr std::size_t kPool = std::size_t{16} << 20, kMost = std::size_t{544} << 20, kMostWidth = 32768;

  std::uint16_t narrow(float x) const { return dtype_ == DType::f16 ? to_f16(x).bits : to_bf16(x).bits; }

  std::string name_;
  hf::Config config_;
  DType dtype_;
  std::filesystem::path path_ = "made";
  std::vector<std::uint16_t> matrices_, norms_;
  std::vector<containers::Tensor> tensors_;
};

std::unique_ptr<Made> gpt2(std::int64_t layers, DType dtype) {
  const std::int64_t hidden = 768, vocab = 50257;
  auto m = std::make_unique<Made>("GPT-2 small's shape",
                                  nlohmann::json{{"model_type", "gpt2"},
                                                 {"vocab_size", vocab},
                                                 {"n_positions", 1024},
                                                 {"n_embd", hidden},
                                                 {"n_layer", layers},
                                                 {"n_head", 12}},
                                  dtype);
  m->add("wte.weight", {vocab, hidden}), m->add("wpe.weight", {1024, hidden});
  const auto norm = [&](const std::string& name) {
    m->add(name + ".weight", {hidden}, true), m->add(name + ".bias", {hidden});
  };
  const auto conv = [&](const std::string& name, std::int64_t in, std::int64_t out) {
    m->add(name + ".weight", {in, out}), m->add(name + ".bias", {out});
  };
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string h = "h." + std::to_string(i) + ".";
    norm(h + "ln_1"), norm(h + "ln_2");
    conv(h + "attn.c_attn", hidden, 3 * hidden), conv(h + "attn.c_proj", hidden, hidden);
    conv(h + "mlp.c_fc", hidden, 4 * hidden), conv(h + "mlp.c_proj", 4 * hidden, hidden);
  }
  norm("ln_f");
  m->done();
  return m;
}

std::unique_ptr<Made> llama8b(std::int64_t layers, DType dtype) {
  const std::int64_t hidden = 4096, kv = 1024, inner = 14336, vocab = 128256;
  auto m = std::make_unique<Made>("Llama-3 8B's shape",
                                  nlohmann::json{{"model_type", "llama"},
                                                 {"hidden_size", hidden},
                                                 {"intermediate_size", inner},
                                                 {"num_hidden_layers", layers},
                                                 {"num_attention_heads", 32},
                                                 {"num_key_value_heads", 8},
                                                 {"vocab_size", vocab},
                                                 {"max_position_embeddings", 131072},
                                                 {"rope_theta", 500000.0},
                                                 {"rms_norm_eps", 1e-5},
                                                 {"hidden_act", "silu"},
                                                 {"tie_word_embeddings", false}},
                                  dtype);
  m->add("model.embed_tokens.weight", {vocab, hidden}), m->add("lm_head.weight", {vocab, hidden});
  m->add("model.norm.weight", {hidden}, true);
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string h = "model.layers." + std::to_string(i) + ".";
    m->add(h + "input_layernorm.weight", {hidden}, true), m->add(h + "post_attention_layernorm.weight", {hidden}, true);
    m->add(h + "self_attn.q_proj.weight", {hidden, hidden}), m->add(h + "self_attn.k_proj.weight", {kv, hidden});
    m->add(h + "self_attn.v_proj.weight", {kv, hidden}), m->add(h + "self_attn.o_proj.weight", {hidden, hidden});
    m->add(h + "mlp.gate_proj.weight", {inner, hidden}), m->add(h + "mlp.up_proj.weight", {inner, hidden});
    m->add(h + "mlp.down_proj.weight", {hidden, inner});
  }
  m->done();
  return m;
}

std::unique_ptr<Made> falcon7b(std::int64_t layers, DType dtype) {
  const std::int64_t hidden = 4544, vocab = 65024;
  auto m = std::make_unique<Made>("Falcon 7B's shape",
                                  nlohmann::json{{"model_type", "falcon"},
                                                 {"hidden_size", hidden},
                                                 {"num_hidden_layers", layers},
                                                 {"num_attention_heads", 71},
                                                 {"vocab_size", vocab},
                                                 {"multi_query", true},
                                                 {"parallel_attn", true},
                                                 {"new_decoder_architecture", false},
                                                 {"bias", false},
                                                 {"alibi", false},
                                                 {"layer_norm_epsilon", 1e-5}},
                                  dtype);
  m->add("transformer.word_embeddings.weight", {vocab, hidden});
  m->add("transformer.ln_f.weight", {hidden}, true), m->add("transformer.ln_f.bias", {hidden});
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string h = "transformer.h." + std::to_string(i) + ".";
    m->add(h + "input_layernorm.weight", {hidden}, true), m->add(h + "input_layernorm.bias", {hidden});
    m->add(h + "self_attention.query_key_value.weight", {hidden + 128, hidden});
    m->add(h + "self_attention.dense.weight", {hidden, hidden});
    m->add(h + "mlp.dense_h_to_4h.weight", {4 * hidden, hidden}),
        m->add(h + "mlp.dense_4h_to_h.weight", {hidden, 4 * hidden});
  }
  m->done();
  return m;
}

std::uint64_t hash(const model::Logits& logits) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const float x : logits.span<float>()) h = (h ^ std::bit_cast<std::uint32_t>(x)) * 0x100000001b3u;
  return h;
}

// Sequences side by side, each fed the same number of tokens of its own.
std::uint64_t feed(const model::Model& m, std::vector<model::Past>& pasts, std::int64_t from, std::int64_t tokens) {
  std::vector<std::vector<std::int32_t>> ids(pasts.size());
  for (std::size_t i = 0; i < pasts.size(); ++i) {
    for (std::int64_t t = from; t < from + tokens; ++t) {
      const std::uint64_t drawn = random_bits(10 + i, static_cast<std::uint64_t>(t));
      ids[i].push_back(static_cast<std::int32_t>(drawn % static_cast<std::uint64_t>(m.card().vocab)));
    }
  }
  std::vector<model::Feed> feeds;
  for (std::size_t i = 0; i < pasts.size(); ++i) feeds.push_back({.ids = ids[i], .past = &pasts[i]});
  return hash(m.forward(feeds, model::Want::last));
}

constexpr std::int64_t kSteps = 32;

void decode(const model::Model& m, double read_rate, std::int64_t depth, std::int64_t batch, int rounds) {
  std::vector<model::Past> pasts;
  for (std::int64_t i = 0; i < batch; ++i) pasts.push_back(m.new_past());
  feed(m, pasts, 0, depth);
  std::vector<double> times;
  std::uint64_t last = 0;
  for (int r = -1; r < rounds; ++r) {
    const double start = bench::seconds();
    for (std::int64_t i = 0; i < kSteps; ++i) last = feed(m, pasts, depth + i, 1);
    if (r >= 0) times.push_back((bench::seconds() - start) / kSteps);
    for (model::Past& past : pasts) past.truncate(depth);
  }
  const double time = bench::median(times), once = model::cost_of(m).step_bytes(depth + kSteps / 2);
  const double of_past = once - model::cost_of(m).step_bytes(0);
  const double bytes = once + static_cast<double>(batch - 1) * of_past;
  fmt::print(
      "decode at {:6}, {:3} at once: {:9.1f} tokens/s, {:8.1f} us a step, {:.3f} of the read rate, logits {:016x}\n",
      depth, batch, static_cast<double>(batch) / time, 1e6 * time, bytes / time / read_rate, last);
  std::fflush(stdout);
}

void prefill(const model::Model& m, std::int64_t tokens, int rounds) {
  std::vector<double> times;
  std::uint64_t last = 0;
  for (int r = -2; r < rounds; ++r) {
    std::vector<model::Past> pasts;
    pasts.push_back(m.new_past());
    const double start = bench::seconds();
    last = feed(m, pasts, 0, tokens);
    if (r >= 0) times.push_back(bench::seconds() - start);
  }
  const double time = bench::median(times), fmas = model::cost_of(m).call_fmas(0, tokens);
  fmt::print(
      "prefill of {:6}: {:9.1f} tokens/s, {:8.2f} ms, {:.1f} T multiply-adds/s x 2 = {:.1f} TFLOP/s, logits {:016x}\n",
      tokens, static_cast<double>(tokens) / time, 1e3 * time, fmas / time / 1e12, 2 * fmas / time / 1e12, last);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  const bench::Options given(kUsage, argc, argv);
  const std::string shape(given.text("--shape").value_or("gpt2")), format(given.text("--dtype").value_or("fp16"));
  const auto dtype = from_name(format);
  if (dtype != DType::f16 && dtype != DType::bf16) given.refuse("--dtype is fp16 or bf16");
  model::LoadOptions options;
  if (const auto name = given.text("--load-in")) {
    const auto known = quant::format_from_name(*name);
    if (!known) given.refuse("--load-in is int8, fp4 or nf4");
    options.quantize.emplace().format = *known;
  }
  std::unique_ptr<Made> made;
  if (shape == "gpt2") made = gpt2(given.number("--layers", 12, 1), *dtype);
  if (shape == "llama8b") made = llama8b(given.number("--layers", 32, 1), *dtype);
  if (shape == "falcon7b") made = falcon7b(given.number("--layers", 32, 1), *dtype);
  if (made == nullptr) given.refuse("--shape is gpt2, llama8b or falcon7b");
  const auto rounds = static_cast<int>(given.number("--rounds", 5, 1));
  const auto depths = given.numbers("--depth", {512}, 1), batches = given.numbers("--batch", {1}, 1),
             prompts = given.numbers("--prefill", {512}, 1);

  if (const std::string why = kernels::cuda::absent(); !given.has("--backend") && !why.empty()) {
    fmt::print(stderr, "bench_gpu: nothing is measured: {}\n", why);
    return 0;
  }
  const double before = bench::seconds();
  const kernels::Backend backend(given.text("--backend").value_or("cuda"));
  const double opened = bench::seconds();
  const model::Model m = model::load(std::move(made), backend, options);
  m.backend().wait();
  const double loaded = bench::seconds();
  double read_rate = 0, fma_rate = 0;
  {
    const auto peak = m.backend().peak();
    for (int i = 0; i < 3; ++i) read_rate = std::max(read_rate, peak->read_rate());
    fma_rate = peak->fma_rate();
  }
  fmt::print(
      "{}, {}, past {}, on {}: opened in {:.2f} s, loaded in {:.2f} s; read {:.0f} GB/s, fp32 {:.1f} T "
      "multiply-adds/s\n",
      shape, m.weights().format(), name_of(m.past_dtype()), backend.describe(), opened - before, loaded - opened,
      read_rate / 1e9, fma_rate / 1e12);
  std::fflush(stdout);
  for (const std::int64_t n : depths) {
    for (const std::int64_t b : batches) decode(m, read_rate, n, b, rounds);
  }
  for (const std::int64_t n : prompts) prefill(m, n, rounds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_gpu: {}\n", e.what());
    return 1;
  }
}
