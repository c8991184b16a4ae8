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

std::size_t PastShape::state_at(std::size_t index) const {
  std::size_t at = 0;
  for (std::size_t i = 0; i < index; ++i) at += states[i].bytes();
  return at;
}

Past::Past(kernels::Backend backend, PastShape shape, SnapshotRule rule)
    : backend_(std::move(backend)), shape_(std::move(shape)), rule_(rule) {
  whole_.bytes = windowed_.start = shape_.window_start();
  windowed_.bytes = shape_.block_bytes() - windowed_.start;
}

std::size_t Past::bytes() const {
  const auto held = [](const Store& s) {
    return static_cast<std::size_t>(std::ranges::count_if(s.blocks, [](const auto& b) { return b != nullptr; })) *
           s.bytes;
  };
  return held(whole_) + held(windowed_) + (state_ != nullptr ? shape_.state_bytes() : 0);
}

std::size_t Past::snapshot_bytes() const {
  const auto count = std::ranges::count_if(snapshots_, [&](const auto& s) { return s != state_; });
  return static_cast<std::size_t>(count) * shape_.state_bytes();
}

std::vector<std::int64_t> Past::snapshots() const {
  std::vector<std::int64_t> lengths;
  for (const auto& s : snapshots_) lengths.push_back(s->tokens);
  return lengths;
}

std::int64_t Past::reached_from(std::int64_t length) const {
  return std::max<std::int64_t>(0, length + 1 - shape_.widest());
}

void Past::forget_all() {
  for (Store* s : {&whole_, &windowed_}) s->blocks.clear(), s->table.clear();
  shared_ = 0;
  held_from_ = held_ = 0;
  state_.reset();
  snapshots_.clear();
}

void Past::truncate(std::int64_t length) {
  if (length < 0 || length > this->length()) {
    fail_usage({.what = "cannot rewind the past to a length it does not reach",
                .expected = "0 to " + std::to_string(this->length()) + " tokens",
                .found = std::to_string(length)});
  }
  ids_.resize(static_cast<std::size_t>(length));
  if (length >= held_) return;
  std::int64_t to = length;  // where all layers can go back to
  if (!shape_.states.empty()) {
    while (!snapshots_.empty() && snapshots_.back()->tokens > length) snapshots_.pop_back();
    to = snapshots_.empty() ? 0 : snapshots_.back()->tokens;
  }
  if (to == 0 || reached_from(to) < held_from_) return forget_all();
  for (Store* s : {&whole_, &windowed_}) {
    s->blocks.resize(std::min(s->blocks.size(), blocks_for(to)));
    s->table.resize(s->blocks.size());
  }
  shared_ = std::min(shared_, blocks_for(to));
  held_ = to;
  if (!shape_.states.empty()) state_ = snapshots_.back();
}

void Past::truncate_keys(std::int64_t length) {
  ids_.resize(static_cast<std::size_t>(length));
  while (!snapshots_.empty() && snapshots_.back()->tokens > length) snapshots_.pop_back();
  shared_ = std::min(shared_, blocks_for(length));
  held_ = length;
}

Past Past::fork() {
  Past other = fork_of_held();
  other.ids_ = ids_;
  return other;
}

Past Past::fork_of_held() {
  keep_state();
  Past other(backend_, shape_, rule_);
  other.ids_.assign(ids_.begin(), ids_.begin() + held_);
  other.held_from_ = held_from_;
  other.held_ = held_;
  other.state_ = state_;
  other.snapshots_ = snapshots_;
  shared_ = other.shared_ = blocks_for(held_);
  const auto held = static_cast<std::ptrdiff_t>(blocks_for(held_));
  for (const auto& [from, to] : {std::pair{&whole_, &other.whole_}, {&windowed_, &other.windowed_}}) {
    if (from->bytes == 0) continue;
    to->blocks.assign(from->blocks.begin(), from->blocks.begin() + held);
    to->table.assign(from->table.begin(), from->table.begin() + held);
  }
  return other;
}

void Past::keep_state() {
  if (state_ == nullptr || (!snapshots_.empty() && snapshots_.back() == state_)) return;
  snapshots_.push_back(state_);
  limit_snapshots();
}

void Past::reserve(std::int64_t tokens) {
  ids_.reserve(blocks_for(length() + tokens) * static_cast<std::size_t>(kTokens));  // once a block, not once a token
  const std::size_t first = static_cast<std::size_t>(length() / kTokens);
  make_own(first);
  for (Store* s : {&whole_, &windowed_}) reserve(*s, blocks_for(length() + tokens));
  if (!shape_.states.empty()) reserve_states(tokens);
}

// One for each whole number of `every` tokens that the call goes beyond, and one for its end. Those left over from a
// forward that failed are used again.
void Past::reserve_states(std::int64_t tokens) {
  std::vector<std::int64_t> ends;
  for (std::int64_t at = (length() / rule_.every + 1) * rule_.every; at < length() + tokens; at += rule_.every) {
    ends.push_back(at);
  }
  ends.push_back(length() + tokens);
  snapshots_.reserve(snapshots_.size() + ends.size());
  written_.resize(ends.size());
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (written_[i] == nullptr) {
      kernels::Memory memory(backend_, shape_.state_bytes());
      std::byte* data = memory.data();
      written_[i] = std::make_shared<State>(State{.memory = std::move(memory), .data = data});
    }
    written_[i]->tokens = ends[i];
  }
}

std::vector<Past::Piece> Past::pieces() const {
  std::vector<Piece> all;
  const std::byte* state = state_ != nullptr ? state_->data : nullptr;
  std::int64_t from = length();
  for (const auto& written : written_) {
    all.push_back(
        {.rows = written->tokens - from, .state = std::exchange(state, written->data), .next = written->data});
    from = written->tokens;
  }
  return all;
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
  called_from_ = length();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  held_ = length();
  if (release) release_unreached();
  if (!shape_.states.empty()) commit_states();
}

// The old state's memory is what the next forward writes to, unless someone has kept it.
void Past::commit_states() noexcept {
  const std::int64_t before = state_ != nullptr ? state_->tokens : 0;
  std::shared_ptr<State> old = std::exchange(state_, written_.back());
  written_.pop_back();
  for (auto& passed : written_) snapshots_.push_back(std::move(passed));
  written_.clear();
  if (length() - before > 1 || length() % rule_.every == 0) snapshots_.push_back(state_);
  limit_snapshots();
  const bool reusable = old != nullptr && old.use_count() == 1 && old->owner == nullptr;
  if (reusable) written_.push_back(std::move(old));  // has had room for one
}

// Which goes: that between whose neighbours the least room is for its distance from the end, so that snapshots lie the
// closer the nearer the end is. The last one stays.
void Past::limit_snapshots() noexcept {
  const auto end = static_cast<double>(held_ + 1);
  while (snapshots_.size() > 1 && snapshots_.size() * shape_.state_bytes() > rule_.most_bytes) {
    std::size_t least = 0;
    double room = 0;
    for (std::size_t i = 0; i + 1 < snapshots_.size(); ++i) {
      const std::int64_t before = i == 0 ? 0 : snapshots_[i - 1]->tokens;
      const double own =
          static_cast<double>(snapshots_[i + 1]->tokens - before) / (end - static_cast<double>(snapshots_[i]->tokens));
      if (i == 0 || own < room) least = i, room = own;
    }
    snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(least));
  }
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

void Past::download_state(std::int64_t tokens, std::span<std::byte> to) const {
  const auto found = std::ranges::find(snapshots_, tokens, [](const auto& s) { return s->tokens; });
  const State& state = found != snapshots_.end() ? **found : *state_;
  backend_.download(to.data(), state.data, to.size());
  std::size_t at = 0;  // what lies between the parts is nobody's
  const auto clear_behind = [&](std::int64_t floats, std::size_t bytes) {
    const auto own = static_cast<std::size_t>(floats) * sizeof(float);
    std::memset(to.data() + at + own, 0, bytes - own);
    at += bytes;
  };
  for (const StateShape& s : shape_.states) {
    clear_behind(s.inputs * s.channels, s.convolution_bytes());
    clear_behind(s.heads * s.keys * s.values, s.recurrence_bytes());
  }
}

Past Past::borrow(kernels::Backend backend, PastShape shape, std::vector<std::int32_t> ids, const Borrowed& from,
                  std::shared_ptr<const void> owner, SnapshotRule rule) {
  Past past(std::move(backend), std::move(shape), rule);
  const std::size_t size = past.shape_.block_bytes(), count = blocks_for(static_cast<std::int64_t>(ids.size()));
  const auto placed = [&](std::span<const std::byte> all, std::size_t at, std::size_t bytes) {
    View view(all.data() + at, DType::u8, {static_cast<std::int64_t>(bytes)});
    kernels::Memory memory = kernels::place(past.backend_, view);
    return std::pair{std::move(memory), view.as<std::byte>()};
  };
  for (std::size_t i = 0; size > 0 && i < count; ++i) {
    auto [memory, data] = placed(from.blocks, i * size, size);
    const auto block = std::make_shared<Block>(Block{.memory = std::move(memory), .owner = owner});
    for (Store* s : {&past.whole_, &past.windowed_}) {
      if (s->bytes == 0) continue;
      const bool held = s == &past.whole_ || static_cast<std::int64_t>(i) * kTokens >= from.held_from;
      s->table.push_back(held ? data : nullptr);
      s->blocks.push_back(held ? block : nullptr);
    }
  }
  const std::size_t state_bytes = past.shape_.state_bytes();
  for (std::size_t i = 0; i < from.snapshots.size(); ++i) {
    auto [memory, data] = placed(from.states, i * state_bytes, state_bytes);
    past.snapshots_.push_back(std::make_shared<State>(
        State{.memory = std::move(memory), .data = data, .tokens = from.snapshots[i], .owner = owner}));
  }
  if (!past.snapshots_.empty()) past.state_ = past.snapshots_.back();
  past.ids_ = std::move(ids);
  past.held_ = past.length();
  past.shared_ = count;
  past.held_from_ = past.windowed_.bytes == 0 ? 0 : from.held_from;
  return past;
}

PastCopy Past::copy_out() const {
  PastCopy s{.shape = shape_, .ids = ids_, .keys = {}, .values = {}};
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
