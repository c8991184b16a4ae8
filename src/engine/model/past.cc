#include "engine/model/past.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

constexpr std::int64_t kTokens = kernels::kBlockTokens;

std::size_t blocks_for(std::int64_t tokens) { return static_cast<std::size_t>((tokens + kTokens - 1) / kTokens); }

// Zeros where tokens from `held` on would be.
void clear_unfed(std::span<std::byte> block, const PastShape& s, std::int64_t held) {
  const std::size_t element = size_of(s.dtype), dim = static_cast<std::size_t>(s.head_dim);
  const auto step = static_cast<std::size_t>(kTokens) * element;
  const auto unfed = static_cast<std::size_t>(kTokens - held) * element;
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const kernels::PastLayer layer = s.layer(l);
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
      std::byte* key = block.data() + layer.key(h, held);
      for (std::size_t d = 0; d < dim; ++d) std::memset(key + d * step, 0, unfed);
      std::memset(block.data() + layer.value(h, held), 0, unfed * dim);
    }
  }
}

}  // namespace

std::size_t PastShape::part_bytes() const {
  return static_cast<std::size_t>(kv_heads * head_dim * kTokens) * size_of(dtype);
}

kernels::PastLayer PastShape::layer(std::int64_t index) const {
  const std::size_t start = static_cast<std::size_t>(index) * 2 * part_bytes();
  return {.keys = start, .values = start + part_bytes(), .head_dim = head_dim, .dtype = dtype};
}

void Past::truncate(std::int64_t length) {
  if (length < 0 || length > this->length()) {
    fail_usage({.what = "cannot rewind the past to a length it does not reach",
                .expected = "0 to " + std::to_string(this->length()) + " tokens",
                .found = std::to_string(length)});
  }
  ids_.resize(static_cast<std::size_t>(length));
  blocks_.resize(blocks_for(length));
  table_.resize(blocks_.size());
  shared_ = std::min(shared_, blocks_.size());
}

Past Past::fork() {
  Past other(backend_, shape_);
  other.ids_ = ids_;
  shared_ = other.shared_ = blocks_for(length());
  const auto held = static_cast<std::ptrdiff_t>(blocks_for(length()));
  other.blocks_.assign(blocks_.begin(), blocks_.begin() + held);
  other.table_.assign(table_.begin(), table_.begin() + held);
  return other;
}

void Past::reserve(std::int64_t tokens) {
  ids_.reserve(blocks_for(length() + tokens) * static_cast<std::size_t>(kTokens));  // once a block, not once a token
  const std::size_t first = static_cast<std::size_t>(length() / kTokens);
  const std::size_t end = blocks_for(length() + tokens);
  if (first < blocks_.size()) make_own(first);
  while (blocks_.size() < end) {
    auto block = std::make_shared<Block>(Block{kernels::Memory(backend_, shape_.block_bytes())});
    table_.push_back(block->memory.data());
    try {
      blocks_.push_back(std::move(block));
    } catch (...) {
      table_.pop_back();
      throw;
    }
  }
}

// Only the block that `length` ends in is ever written again. Those beyond it may be left over from a forward that
// failed; they are nobody else's, since a fork is made of what the past holds and truncate drops the rest.
void Past::make_own(std::size_t index) {
  if (index >= shared_) return;
  auto copy = std::make_shared<Block>(Block{kernels::Memory(backend_, shape_.block_bytes())});
  backend_.copy(copy->memory.data(), table_[index], shape_.block_bytes());
  table_[index] = copy->memory.data();
  blocks_[index] = std::move(copy);
  shared_ = index;
}

void Past::commit(std::span<const std::int32_t> ids) noexcept { ids_.insert(ids_.end(), ids.begin(), ids.end()); }

void Past::download(std::size_t block, std::span<std::byte> to) const {
  backend_.download(to.data(), table_[block], shape_.block_bytes());
  const std::int64_t held = length() - static_cast<std::int64_t>(block) * kTokens;
  if (held < kTokens) clear_unfed(to, shape_, held);
}

Past Past::borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids,
                  std::span<const std::byte> blocks, std::shared_ptr<const void> owner) {
  Past past(std::move(backend), shape);
  const std::size_t size = shape.block_bytes(), count = blocks_for(static_cast<std::int64_t>(ids.size()));
  for (std::size_t i = 0; i < count; ++i) {
    View view(blocks.data() + i * size, DType::u8, {static_cast<std::int64_t>(size)});
    auto block = std::make_shared<Block>();
    block->memory = kernels::place(past.backend_, view);
    block->owner = owner;
    past.table_.push_back(view.as<std::byte>());
    past.blocks_.push_back(std::move(block));
  }
  past.ids_ = std::move(ids);
  past.shared_ = count;
  return past;
}

PastSnapshot Past::snapshot() const {
  PastSnapshot s{.shape = shape_, .ids = ids_, .keys = {}, .values = {}};
  const std::int64_t n = length(), dim = shape_.head_dim;
  const auto size = static_cast<std::size_t>(shape_.layers * shape_.kv_heads * n * dim);
  s.keys.resize(size);
  s.values.resize(size);
  std::vector<std::byte> block(shape_.block_bytes());
  for (std::int64_t j = 0; j < n; ++j) {
    if (j % kTokens == 0) {
      download(static_cast<std::size_t>(j / kTokens), block);
    }
    for (std::int64_t lh = 0; lh < shape_.layers * shape_.kv_heads; ++lh) {
      const kernels::PastLayer layer = shape_.layer(lh / shape_.kv_heads);
      const std::byte* key = block.data() + layer.key(lh % shape_.kv_heads, j);
      const std::byte* value = block.data() + layer.value(lh % shape_.kv_heads, j);
      for (std::int64_t d = 0; d < dim; ++d) {
        const auto to = static_cast<std::size_t>((lh * n + j) * dim + d);
        s.keys[to] = load_element(key, shape_.dtype, d * kTokens);
        s.values[to] = load_element(value, shape_.dtype, d);
      }
    }
  }
  return s;
}

}  // namespace pkv::model
