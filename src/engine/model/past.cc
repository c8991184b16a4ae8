#include "engine/model/past.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

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

std::int64_t PastShape::widest() const { return windows.empty() ? 0 : std::ranges::max(windows); }

std::size_t PastShape::window_start() const {
  const auto see_all = layers - std::ranges::count_if(windows, [](std::int64_t w) { return w > 0; });
  return static_cast<std::size_t>(see_all) * 2 * part_bytes();
}

kernels::PastLayer PastShape::layer(std::int64_t index) const {
  std::int64_t before = 0;  // layers of its kind
  for (std::int64_t i = 0; i < index; ++i) before += sees_window(i) == sees_window(index) ? 1 : 0;
  const std::size_t start =
      (sees_window(index) ? window_start() : 0) + static_cast<std::size_t>(before) * 2 * part_bytes();
  return {.keys = start, .values = start + part_bytes(), .head_dim = head_dim, .dtype = dtype};
}

Past::Past(kernels::Backend backend, PastShape shape) : backend_(std::move(backend)), shape_(std::move(shape)) {
  whole_.bytes = windowed_.start = shape_.window_start();
  windowed_.bytes = shape_.block_bytes() - windowed_.start;
}

std::size_t Past::bytes() const {
  const auto held = [](const Store& s) {
    return static_cast<std::size_t>(std::ranges::count_if(s.blocks, [](const auto& b) { return b != nullptr; })) *
           s.bytes;
  };
  return held(whole_) + held(windowed_);
}

std::int64_t Past::reached_from(std::int64_t length) const {
  return std::max<std::int64_t>(0, length + 1 - shape_.widest());
}

void Past::forget_blocks() {
  for (Store* s : {&whole_, &windowed_}) s->blocks.clear(), s->table.clear();
  shared_ = 0;
  held_from_ = 0;
}

void Past::truncate(std::int64_t length) {
  if (length < 0 || length > this->length()) {
    fail_usage({.what = "cannot rewind the past to a length it does not reach",
                .expected = "0 to " + std::to_string(this->length()) + " tokens",
                .found = std::to_string(length)});
  }
  ids_.resize(static_cast<std::size_t>(length));
  if (length == 0) must_feed_again_ = false;
  if (must_feed_again_) return;
  if (length == 0 || reached_from(length) < held_from_) {
    must_feed_again_ = length > 0;
    return forget_blocks();
  }
  for (Store* s : {&whole_, &windowed_}) {
    s->blocks.resize(std::min(s->blocks.size(), blocks_for(length)));
    s->table.resize(s->blocks.size());
  }
  shared_ = std::min(shared_, blocks_for(length));
}

Past Past::fork() {
  Past other(backend_, shape_);
  other.ids_ = ids_;
  other.held_from_ = held_from_;
  other.must_feed_again_ = must_feed_again_;
  if (must_feed_again_) return other;
  shared_ = other.shared_ = blocks_for(length());
  const auto held = static_cast<std::ptrdiff_t>(blocks_for(length()));
  for (const auto& [from, to] : {std::pair{&whole_, &other.whole_}, {&windowed_, &other.windowed_}}) {
    if (from->bytes == 0) continue;
    to->blocks.assign(from->blocks.begin(), from->blocks.begin() + held);
    to->table.assign(from->table.begin(), from->table.begin() + held);
  }
  return other;
}

void Past::reserve(std::int64_t tokens) {
  ids_.reserve(blocks_for(length() + tokens) * static_cast<std::size_t>(kTokens));  // once a block, not once a token
  const std::size_t first = static_cast<std::size_t>(length() / kTokens);
  make_own(first);
  for (Store* s : {&whole_, &windowed_}) reserve(*s, blocks_for(length() + tokens));
}

void Past::reserve(Store& s, std::size_t end) {
  if (s.bytes == 0) return;
  while (s.blocks.size() < end) {
    auto block = std::make_shared<Block>(Block{kernels::Memory(backend_, s.bytes)});
    s.table.push_back(block->memory.data() - s.start);
    try {
      s.blocks.push_back(std::move(block));
    } catch (...) {
      s.table.pop_back();
      throw;
    }
  }
}

// Only the block that `length` ends in is ever written again. Those beyond it may be left over from a forward that
// failed; they are nobody else's, since a fork is made of what the past holds and truncate drops the rest.
void Past::make_own(std::size_t index) {
  if (index >= shared_) return;
  for (Store* s : {&whole_, &windowed_}) {
    if (index >= s->blocks.size()) continue;
    auto copy = std::make_shared<Block>(Block{kernels::Memory(backend_, s->bytes)});
    backend_.copy(copy->memory.data(), s->table[index] + s->start, s->bytes);
    s->table[index] = copy->memory.data() - s->start;
    s->blocks[index] = std::move(copy);
  }
  shared_ = index;
}

void Past::commit(std::span<const std::int32_t> ids, bool release) noexcept {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  if (release) release_unreached();
}

void Past::release_unreached() noexcept {
  if (windowed_.bytes == 0) return;
  const std::int64_t keep = std::max<std::int64_t>(0, reached_from(length()) - kKeptBehind) / kTokens;
  for (auto b = static_cast<std::size_t>(held_from_ / kTokens); b < static_cast<std::size_t>(keep); ++b) {
    windowed_.blocks[b].reset();
    windowed_.table[b] = nullptr;
  }
  held_from_ = std::max(held_from_, keep * kTokens);
}

void Past::download(std::size_t block, std::span<std::byte> to) const {
  for (const Store* s : {&whole_, &windowed_}) {
    if (s->bytes == 0) continue;
    if (s->table[block] != nullptr) {
      backend_.download(to.data() + s->start, s->table[block] + s->start, s->bytes);
    } else {
      std::memset(to.data() + s->start, 0, s->bytes);
    }
  }
  const std::int64_t held = length() - static_cast<std::int64_t>(block) * kTokens;
  if (held < kTokens) clear_unfed(to, shape_, held);
}

Past Past::borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids,
                  std::span<const std::byte> blocks, std::shared_ptr<const void> owner, std::int64_t held_from) {
  Past past(std::move(backend), std::move(shape));
  const std::size_t size = past.shape_.block_bytes(), count = blocks_for(static_cast<std::int64_t>(ids.size()));
  for (std::size_t i = 0; i < count; ++i) {
    View view(blocks.data() + i * size, DType::u8, {static_cast<std::int64_t>(size)});
    auto block = std::make_shared<Block>();
    block->memory = kernels::place(past.backend_, view);
    block->owner = owner;
    for (Store* s : {&past.whole_, &past.windowed_}) {
      if (s->bytes == 0) continue;
      const bool held = s == &past.whole_ || static_cast<std::int64_t>(i) * kTokens >= held_from;
      s->table.push_back(held ? view.as<std::byte>() : nullptr);
      s->blocks.push_back(held ? block : nullptr);
    }
  }
  past.ids_ = std::move(ids);
  past.shared_ = count;
  past.held_from_ = past.windowed_.bytes == 0 ? 0 : held_from;
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
