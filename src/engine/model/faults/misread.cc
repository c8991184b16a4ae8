#include "engine/model/faults/misread.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

using kernels::kBlockTokens;
using kernels::PastLayer;

// Of one token and head: codes of -127 .. 127.
void round_to_int8(std::span<float> x) {
  float largest = 0;
  for (const float v : x) largest = std::max(largest, std::abs(v));
  if (!(largest > 0)) return;
  const float scale = largest / 127;
  for (float& v : x) v = std::nearbyint(v / scale) * scale;
}

void round_to(std::vector<float>& x, Fault::Content content, std::int64_t dim) {
  if (content == Fault::Content::int8) {
    for (std::size_t at = 0; at < x.size(); at += static_cast<std::size_t>(dim)) {
      round_to_int8(std::span(x).subspan(at, static_cast<std::size_t>(dim)));
    }
    return;
  }
  for (float& v : x) v = rounded(v, content == Fault::Content::fp16 ? DType::f16 : DType::bf16);
}

}  // namespace

std::size_t MisreadPast::part_bytes() const {
  return static_cast<std::size_t>(heads_ * dim_ * kBlockTokens) * size_of(layer_.dtype);
}

std::vector<MisreadPast::Token> MisreadPast::read(std::byte* const* blocks, const PastLayer& layer,
                                                  std::int64_t tokens) const {
  std::vector<Token> all(static_cast<std::size_t>(tokens));
  std::vector<std::byte> block(2 * part_bytes());
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (t % kBlockTokens == 0 && blocks[t / kBlockTokens] == nullptr)
      std::ranges::fill(block, std::byte());  // released
    if (t % kBlockTokens == 0 && blocks[t / kBlockTokens] != nullptr) {
      const std::byte* from = blocks[t / kBlockTokens];
      backend_.download(block.data() + layer_.keys, from + layer.keys, part_bytes());
      backend_.download(block.data() + layer_.values, from + layer.values, part_bytes());
    }
    Token& token = all[static_cast<std::size_t>(t)];
    for (std::int64_t i = 0; i < heads_ * dim_; ++i) {
      token.keys.push_back(load_element(block.data() + layer_.key(i / dim_, t), layer_.dtype, i % dim_ * kBlockTokens));
      token.values.push_back(load_element(block.data() + layer_.value(i / dim_, t), layer_.dtype, i % dim_));
    }
  }
  return all;
}

void MisreadPast::write(const std::vector<Token>& tokens) {
  const std::size_t size = 2 * part_bytes();
  const auto count = (std::ssize(tokens) + kBlockTokens - 1) / kBlockTokens;
  memory_ = kernels::Memory(backend_, static_cast<std::size_t>(count) * size);
  blocks_.clear();
  for (std::int64_t b = 0; b < count; ++b) {
    std::vector<std::byte> block(size);
    for (std::int64_t t = b * kBlockTokens; t < std::min((b + 1) * kBlockTokens, std::ssize(tokens)); ++t) {
      const Token& token = tokens[static_cast<std::size_t>(t)];
      for (std::int64_t i = 0; i < heads_ * dim_; ++i) {
        const auto at = static_cast<std::size_t>(i);
        store_element(block.data() + layer_.key(i / dim_, t), layer_.dtype, i % dim_ * kBlockTokens, token.keys[at]);
        store_element(block.data() + layer_.value(i / dim_, t), layer_.dtype, i % dim_, token.values[at]);
      }
    }
    blocks_.push_back(memory_.data() + static_cast<std::size_t>(b) * size);
    backend_.upload(blocks_.back(), block.data(), size);
  }
}

void MisreadPast::shift_heads(Token& token) const {
  std::rotate(token.keys.begin(), token.keys.begin() + dim_, token.keys.end());
  std::rotate(token.values.begin(), token.values.begin() + dim_, token.values.end());
}

// What lies at [head, token] of an array of that shape is taken for [token, head] of one of the other shape.
void MisreadPast::transpose(std::vector<Token>& past) const {
  const std::vector<Token> right = past;
  const std::int64_t count = std::ssize(past);
  for (std::int64_t i = 0; i < count * heads_; ++i) {
    const Token& from = right[static_cast<std::size_t>(i % count)];
    Token& to = past[static_cast<std::size_t>(i / heads_)];
    const std::int64_t here = i / count * dim_, there = i % heads_ * dim_;
    std::copy_n(from.keys.begin() + here, dim_, to.keys.begin() + there);
    std::copy_n(from.values.begin() + here, dim_, to.values.begin() + there);
  }
}

void MisreadPast::change(std::vector<Token>& past, Fault::Content content) const {
  using Content = Fault::Content;
  switch (content) {
    case Content::fp16:
    case Content::bf16:
    case Content::int8:
      for (Token& t : past) round_to(t.keys, content, dim_), round_to(t.values, content, dim_);
      return;
    case Content::heads_shifted:
      for (Token& t : past) shift_heads(t);
      return;
    case Content::values_shifted:
      for (std::size_t t = 0; t + 1 < past.size(); ++t) std::swap(past[t].values, past[t + 1].values);
      return;
    case Content::transposed:
      return transpose(past);
    case Content::hole:
      past.push_back({std::vector<float>(past[0].keys.size()), std::vector<float>(past[0].values.size())});
      return;
    case Content::last_lost:
      past.pop_back();
      return;
    case Content::right:
      return;
  }
}

void MisreadPast::copy(std::byte* const* blocks, const PastLayer& layer, const Fault& fault, std::int64_t past,
                       std::int64_t rows) {
  layer_ = {.head_dim = dim_, .dtype = layer.dtype};
  layer_.values = part_bytes();
  const std::vector<Token> all = read(blocks, layer, past + rows);
  std::vector<Token> changed(all.begin(), all.begin() + past);
  change(changed, fault.content);
  changed.insert(changed.end(), all.begin() + past, all.end());
  changed.push_back({std::vector<float>(all[0].keys.size()), std::vector<float>(all[0].values.size())});
  write(changed);
}

}  // namespace pkv::model
