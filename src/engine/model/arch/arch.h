// What the pages of this folder offer to the list in engine/model/architectures.cc, and the few lines they share.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "engine/model/model.h"
#include "engine/model/pass.h"
#include "engine/model/reader.h"

namespace pkv::model::arch {

std::unique_ptr<Page> load_falcon(Reader& in);
std::unique_ptr<Page> load_gpt2(Reader& in);
std::unique_ptr<Page> load_mpt(Reader& in);
std::unique_ptr<Page> load_roberta(Reader& in);

// A page made of a struct of weights with a member `card` and a function `run(const M&, Pass&)` beside it.
template <class M>
class PageOf : public Page {
 public:
  explicit PageOf(M m) : m_(std::move(m)) {}
  const Card& card() const override { return m_.card; }
  void forward(Pass& pass) const override { run(m_, pass); }

 private:
  M m_;
};

// Reads shared by several families' configs.
kernels::Act read_activation(const hf::Config& config, hf::Names names);
std::vector<float> alibi_slopes(std::int64_t heads);
Rotation default_rotation(Reader& in, double theta, std::int64_t head_dim);
double read_rope_theta(const hf::Config& config);  // Error::load for every kind of rope but the default one
std::int64_t head_size(const hf::Config& config, std::int64_t hidden, std::int64_t heads);  // hidden / heads, exactly

constexpr std::int64_t kMaxWidth = 1 << 20;  // of layers, heads and matrices: beyond any model, below any overflow
constexpr std::int64_t kMaxTokens = 1 << 30;

}  // namespace pkv::model::arch
