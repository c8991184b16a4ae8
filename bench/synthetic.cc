#include "bench/synthetic.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "base/random.h"
#include "files/hf/hf.h"

namespace pkv::bench {
namespace {

// Tensors share one stretch of random numbers.
class Writer {
 public:
  explicit Writer(std::size_t largest) : values_(largest) {
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

  void write(const std::filesystem::path& file) const { containers::write_safetensors(file, tensors_, {}); }

 private:
  std::vector<float> values_;
  std::vector<containers::Tensor> tensors_;
};

std::size_t largest(const Shape& s) { return static_cast<std::size_t>(s.hidden * std::max(s.vocab, 4 * s.hidden)); }

}  // namespace

Folder::Folder() : path(std::filesystem::temp_directory_path() / fmt::format("pkv-bench-{}", ::getpid())) {
  std::filesystem::create_directories(path);
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

void write_gpt2(const std::filesystem::path& folder, const Shape& s) {
  write_file(folder / "config.json", nlohmann::json{{"model_type", "gpt2"},
                                                    {"vocab_size", s.vocab},
                                                    {"n_positions", s.context},
                                                    {"n_embd", s.hidden},
                                                    {"n_layer", s.layers},
                                                    {"n_head", s.heads}}
                                         .dump());
  Writer w(largest(s));
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

}  // namespace pkv::bench
