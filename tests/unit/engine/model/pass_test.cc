// What a branch gives can be normalised and scaled before it is added, and the sum is what the formula says.
#include "engine/model/pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "engine/kernels/backend.h"
#include "engine/tensor/buffer.h"

namespace pkv::model {
namespace {

constexpr std::int64_t kHidden = 8, kInner = 12, kVocab = 5;
using Row = std::vector<double>;

Buffer matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Buffer m(DType::f32, {rows, columns});
  std::uint64_t i = 0;
  for (float& x : m.span<float>()) x = random_signed(seed, i++);
  return m;
}

Row times(const Row& x, const Buffer& weight) {
  Row out(static_cast<std::size_t>(weight.view()[0]));
  for (std::size_t o = 0; o < out.size(); ++o) {
    for (std::size_t i = 0; i < x.size(); ++i) out[o] += x[i] * weight.span<float>()[o * x.size() + i];
  }
  return out;
}

Row normed(const Row& x, const Buffer& weight, double eps) {
  double mean = 0, variance = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
  Row out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    out.push_back((x[i] - mean) / std::sqrt(variance + eps) * weight.span<float>()[i]);
  }
  return out;
}

class Branches : public testing::Test {
 protected:
  // Logits of one token whose branch went through `change`.
  template <class Change>
  std::vector<float> logits(std::string_view table, const Change& change) {
    const kernels::Backend backend(table, 1);
    Card card;
    card.layers = card.heads = card.kv_heads = 1;
    card.hidden = card.head_dim = kHidden, card.inner = kInner, card.vocab = kVocab;
    Past past(backend, {.layers = 1, .kv_heads = 1, .head_dim = kHidden});
    const std::vector<std::int32_t> ids{3};
    const Feed feed{.ids = ids, .past = &past};
    Workspace workspace;
    Pass p(backend, card, {}, workspace, {&feed, 1}, Want::all, nullptr);
    const Mlp mlp{.up = {.weight = up.view()}, .down = {.weight = down.view()}, .act = kernels::Act::identity};
    p.run([&] {
      p.embed({.weight = embedding.view()});
      p.add(change(p, p.mlp(p.hidden(), mlp)));
      p.logits(p.hidden(), {.weight = head.view()});
    });
    std::vector<float> all(kVocab);
    backend.download(all.data(), p.result().data, all.size() * sizeof(float));
    return all;
  }
  Row start() const {
    const auto row = embedding.span<float>().subspan(3 * kHidden, kHidden);
    return {row.begin(), row.end()};
  }
  void expect(const Row& branch, double scale, const std::vector<float>& got) const {
    Row x = start();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += scale * branch[i];
    const Row want = times(x, head);
    // fp32 sums of at most 12 products of numbers below 10.
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-4) << i;
  }
  Row product() const { return times(times(start(), up), down); }

  const Buffer embedding = matrix(kVocab, kHidden, 1), up = matrix(kInner, kHidden, 2),
               down = matrix(kHidden, kInner, 3), head = matrix(kVocab, kHidden, 4), weight = matrix(1, kHidden, 5);
  const Norm after{.weight = View(weight.view().data, DType::f32, {kHidden}), .bias = {}, .eps = 1e-3f};
};

TEST_F(Branches, AreAdded) {
  for (const char* table : {"naive", "cpu"}) {
    expect(product(), 1, logits(table, [](Pass&, const Branch& b) { return b; }));
  }
}

TEST_F(Branches, AreScaledBeforeTheSum) {
  for (const char* table : {"naive", "cpu"}) {
    expect(product(), 0.25, logits(table, [](Pass&, Branch b) { return b.scale = 0.25f, b; }));
  }
}

TEST_F(Branches, AreNormalisedBeforeTheSum) {
  const Row want = normed(product(), weight, after.eps);
  for (const char* table : {"naive", "cpu"}) {
    expect(want, 1, logits(table, [&](Pass& p, const Branch& b) { return p.norm(after, b); }));
    expect(want, 0.5, logits(table, [&](Pass& p, Branch b) { return b.scale = 0.5f, p.norm(after, b); }));
  }
}

}  // namespace
}  // namespace pkv::model
