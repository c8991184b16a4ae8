// The part of Pass that computes faults on purpose (fault.h). Rows without one take the ordinary way.
#include <algorithm>

#include "model/pass.h"

namespace pkv::model {

using kernels::kBlockTokens;
using kernels::Sequence;

void Pass::find_affected() {
  for (std::size_t i = 0; i < feeds_.size(); ++i) {
    if (feeds_[i].fault == nullptr) continue;
    const Sequence& s = sequences_[i];
    const std::int64_t first = s.past > 0 ? 0 : feeds_[i].as_if_past;
    if (s.past + first == 0 || first >= s.rows) continue;
    affected_.push_back({*feeds_[i].fault, i, s.first_row + first, s.rows - first, s.past + first});
  }
}

void Pass::misplace(std::vector<std::int32_t>& positions) const {
  const std::int64_t last = card_.context_is_hard ? card_.context - 1 : std::int64_t{1} << 30;
  for (const Affected& a : affected_) {
    for (std::int64_t r = 0; r < a.rows; ++r) {
      std::int64_t position = a.past + r;
      if (a.fault.position == Fault::Position::restarted) position = r;
      if (a.fault.position == Fault::Position::one_far) position = std::min(position + 1, last);
      if (a.fault.position == Fault::Position::one_short) --position;
      positions[static_cast<std::size_t>(a.first_row + r)] = static_cast<std::int32_t>(position);
    }
  }
}

// Position 0 turns by nothing.
std::vector<std::int32_t> Pass::rotary_positions() const {
  std::vector<std::int32_t> all = positions();
  for (const Affected& a : affected_) {
    if (a.fault.rotary == Fault::Rotary::missing) std::fill_n(all.begin() + a.first_row, a.rows, 0);
  }
  return all;
}

void Pass::attend_to_past(const kernels::Attend& call) {
  const auto attend = [&](kernels::Attend part, std::span<const Sequence> sequences) {
    part.sequences = sequences;
    if (!sequences.empty()) backend_.ops().attend(backend_.device(), part);
  };
  if (affected_.empty()) return attend(call, sequences_);
  attend(call, right_rows());  // first, for the others may spoil what these see
  for (const Affected& a : affected_) {
    spoil_past(a);
    kernels::Attend part = call;
    if (a.fault.alibi == Fault::Alibi::missing) part.slopes = {};
    attend(part, faulty_rows(a, call.causal));
  }
}

std::vector<Sequence> Pass::right_rows() const {
  std::vector<Sequence> right = sequences_;
  for (const Affected& a : affected_) right[a.feed].rows -= a.rows;
  std::erase_if(right, [](const Sequence& s) { return s.rows == 0; });
  return right;
}

// Each row as a sequence of its own, so that each can see what it likes.
std::vector<Sequence> Pass::faulty_rows(const Affected& a, bool causal) const {
  using Mask = Fault::Mask;
  const Mask mask = a.fault.mask;
  std::vector<Sequence> rows;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    std::int64_t first = 0, end = causal ? a.past + r + 1 : a.past + a.rows;
    if (mask == Mask::later_seen) end = a.past + a.rows;
    if (mask == Mask::top_left) end = r + 1;
    if (mask == Mask::past_ignored) first = a.past;
    if (mask == Mask::window) first = std::max<std::int64_t>(0, end - std::max<std::int64_t>(a.fault.count, 1));
    if (mask == Mask::first_dropped) first = std::min(a.fault.count, a.past);
    rows.push_back({.first_row = a.first_row + r,
                    .rows = 1,
                    .past = end - 1,
                    .layer = sequences_[a.feed].layer,
                    .first_key = first,
                    .alibi_from = a.fault.alibi == Fault::Alibi::new_tokens_only ? a.past : 0});
  }
  return rows;
}

// Keys and values of this layer before the new tokens, changed where they lie.
void Pass::spoil_past(const Affected& a) {
  if (!a.fault.past_rounded && !a.fault.heads_shifted) return;
  const kernels::PastLayer& layer = sequences_[a.feed].layer;
  const std::int64_t part = card_.head_dim * kBlockTokens;
  for (std::int64_t from = 0; from < a.past; from += kBlockTokens) {
    std::byte* block = layer.blocks[from / kBlockTokens];
    const std::int64_t tokens = std::min(kBlockTokens, a.past - from);
    std::vector<View> keys, values;
    for (std::int64_t h = 0; h < card_.kv_heads; ++h) {
      const auto at = static_cast<std::size_t>(h * part) * size_of(layer.dtype);
      keys.emplace_back(block + layer.keys + at, layer.dtype, std::initializer_list{card_.head_dim, tokens});
      keys.back().stride[0] = kBlockTokens;
      values.emplace_back(block + layer.values + at, layer.dtype, std::initializer_list{tokens, card_.head_dim});
    }
    if (a.fault.past_rounded) {
      for (const View& v : keys) round_past(v, *a.fault.past_rounded);
      for (const View& v : values) round_past(v, *a.fault.past_rounded);
    }
    if (a.fault.heads_shifted) {
      shift_heads(keys);
      shift_heads(values);
    }
  }
}

void Pass::round_past(const View& part, DType dtype) {
  const View rounded = workspace_.get(backend_, Workspace::scratch, dtype, part[0], part[1]);
  backend_.ops().convert(backend_.device(), {.from = part, .to = rounded});
  backend_.ops().convert(backend_.device(), {.from = rounded, .to = part});
}

void Pass::shift_heads(const std::vector<View>& heads) {
  const auto& ops = backend_.ops();
  const View first = workspace_.get(backend_, Workspace::scratch, heads[0].dtype, heads[0][0], heads[0][1]);
  ops.convert(backend_.device(), {.from = heads[0], .to = first});
  for (std::size_t h = 0; h + 1 < heads.size(); ++h) {
    ops.convert(backend_.device(), {.from = heads[h + 1], .to = heads[h]});
  }
  ops.convert(backend_.device(), {.from = first, .to = heads.back()});
}

}  // namespace pkv::model
