#include "engine/model/faults/deviation.h"

#include <algorithm>
#include <cmath>

#include "engine/model/faults/misread.h"
#include "engine/model/past.h"

namespace pkv::model {

using kernels::Ops;
using kernels::Sequence;
using Mask = Fault::Mask;

std::optional<Deviation> Deviation::of(const kernels::Backend& backend, const Card& card, std::span<const Feed> feeds) {
  Deviation deviation(backend, card);
  auto& affected = deviation.affected_;
  std::int64_t row = 0;
  for (std::size_t i = 0; i < feeds.size(); row += std::ssize(feeds[i++].ids)) {
    if (feeds[i].fault == nullptr) continue;
    const Fault& fault = *feeds[i].fault;
    const std::int64_t past = feeds[i].past->length(), rows = std::ssize(feeds[i].ids);
    const std::int64_t first = past > 0 ? 0 : std::min(feeds[i].as_if_past, rows);
    if (fault.mask == Mask::both_ways && first > 0) affected.push_back({fault, i, row, first, 0});
    if (fault.rotary == Fault::Rotary::of_length) {
      if (first > 0 && first <= card.short_texts) affected.push_back({fault, i, row, first, 0});
      if (past + rows <= card.short_texts) affected.push_back({fault, i, row + first, rows - first, past + first});
      continue;
    }
    if (past + first == 0 && fault.mask != Mask::both_ways) continue;
    if (first < rows) affected.push_back({fault, i, row + first, rows - first, past + first});
  }
  if (affected.empty()) return std::nullopt;
  return deviation;
}

// The place in the text, from 0, that row r of the call takes itself to have.
std::int64_t Deviation::misplaced(const Affected& a, std::int64_t r) const {
  const std::int64_t last = card_.context_is_hard ? card_.context - 1 : std::int64_t{1} << 30;
  const std::int64_t right = a.past + r;
  switch (a.fault.position) {
    case Fault::Position::restarted:
      return r;
    case Fault::Position::shifted:
      return std::clamp<std::int64_t>(right + a.fault.steps, 0, last);
    case Fault::Position::frozen:
      return a.past;
    case Fault::Position::capped:
      return std::min(right, a.fault.steps);
    case Fault::Position::right:
      break;
  }
  return right;
}

void Deviation::misplace(std::span<std::int32_t> positions, std::int32_t first) const {
  for (const Affected& a : affected_) {
    if (a.fault.position == Fault::Position::right) continue;
    for (std::int64_t r = 0; r < a.rows; ++r) {
      positions[static_cast<std::size_t>(a.first_row + r)] = first + static_cast<std::int32_t>(misplaced(a, r));
    }
  }
}

// Position 0 turns by nothing; rows that are turned in another way are turned by `misrotate`.
void Deviation::misplace_rotary(std::span<std::int32_t> positions) const {
  for (const Affected& a : affected_) {
    const bool otherwise = a.fault.rotary == Fault::Rotary::missing || a.fault.rotary == Fault::Rotary::interleaved;
    if (otherwise) std::fill_n(positions.begin() + a.first_row, a.rows, 0);
  }
}

namespace {

void turn(std::vector<float>& head, double position, const Rotation& rotation, bool neighbours) {
  const std::size_t pairs = rotation.frequencies.size();
  for (std::size_t i = 0; i < pairs; ++i) {
    const double angle = position * static_cast<double>(rotation.frequencies[i]);
    float& a = head[neighbours ? 2 * i : i];
    float& b = head[neighbours ? 2 * i + 1 : i + pairs];
    const auto cos = static_cast<float>(std::cos(angle)), sin = static_cast<float>(std::sin(angle));
    const float x = a, y = b;
    a = x * cos - y * sin;
    b = y * cos + x * sin;
  }
}

}  // namespace

// x [rows, groups, heads, dim]
void Deviation::turn_rows(const Affected& a, const View& x, const Rotation& rotation, bool other_pairs) const {
  std::vector<float> head(static_cast<std::size_t>(card_.head_dim));
  const std::size_t bytes = head.size() * sizeof(float);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const auto by = static_cast<double>(other_pairs ? misplaced(a, r) : a.rows);
    for (std::int64_t i = 0; i < x[1] * x[2]; ++i) {
      float* at = x.as<float>() + (a.first_row + r) * x.step(0) + i / x[2] * x.step(1) + i % x[2] * x.step(2);
      backend_.download(head.data(), at, bytes);
      turn(head, by, rotation, rotation.neighbours != other_pairs);
      backend_.upload(at, head.data(), bytes);
    }
  }
}

void Deviation::misrotate(const View& q, const View& k, const View& cos, const View& sin,
                          const Rotation& rotation) const {
  for (const Affected& a : affected_) {
    const Fault::Rotary rotary = a.fault.rotary;
    const auto again = [&](const View& x) {
      kernels::call(backend_, &Ops::rotate,
                    {.x = x.rows(a.first_row, a.rows),
                     .cos = cos.rows(a.first_row, a.rows),
                     .sin = sin.rows(a.first_row, a.rows),
                     .neighbours = rotation.neighbours});
    };
    if (rotary == Fault::Rotary::twice) again(q), again(k);
    if (rotary == Fault::Rotary::query_late) turn_rows(a, q, rotation, false);
    if (rotary == Fault::Rotary::interleaved) turn_rows(a, q, rotation, true), turn_rows(a, k, rotation, true);
  }
}

std::vector<Deviation::Run> Deviation::runs(std::int64_t rows) const {
  std::vector<Run> all;
  std::int64_t next = 0;
  const auto right_until = [&](std::int64_t end) {
    if (next < end) all.push_back({next, end - next, nullptr});
  };
  for (const Affected& a : affected_) {
    right_until(a.first_row);
    all.push_back({a.first_row, a.rows, &a.fault});
    next = a.first_row + a.rows;
  }
  right_until(rows);
  return all;
}

int Deviation::rotation_of(int rotation) const {
  const auto other = std::ranges::find_if(card_.turns, [&](int r) { return r != rotation; });
  return other == card_.turns.end() ? rotation : *other;
}

std::vector<std::int64_t> Deviation::cuts(std::int64_t rows) const {
  std::vector<std::int64_t> at;
  for (const Affected& a : affected_) {
    if (a.fault.rows_apart && a.first_row < rows) at.push_back(a.first_row);
  }
  return at;
}

void Deviation::attend(const kernels::Attend& call, std::span<const Sequence> sequences) const {
  const auto attend = [&](kernels::Attend part, std::span<const Sequence> rows) {
    if (rows.empty()) return;
    kernels::Memory memory;
    part.batch = kernels::begin(backend_, rows, memory);
    kernels::call(backend_, &Ops::attend, part);
  };
  attend(call, right_rows(sequences));
  for (const Affected& a : affected_) {
    kernels::Attend part = call;
    const Mask mask = a.fault.mask;
    const bool window = call.window > 0;
    if (mask == Mask::window || mask == Mask::layer_window || mask == Mask::windows_missing) part.window = 0;
    if (mask == Mask::windows_swapped) part.window = window ? 0 : std::ranges::max(card_.windows);
    if (a.fault.uncapped) part.cap = 0;
    if (a.fault.unsunk) part.sinks = {};
    if (a.fault.alibi == Fault::Alibi::missing) part.slopes = {};
    std::byte* const* blocks = sequences[a.feed].blocks;
    MisreadPast misread(backend_, card_.kv_heads, card_.head_dim);
    if (a.fault.content != Fault::Content::right || a.fault.mask == Mask::one_more) {
      misread.copy(blocks, call.layer, a.fault, a.past, a.rows);
      blocks = misread.blocks(), part.layer = misread.layer();
    }
    attend(part, faulty_rows(a, call.causal, window, blocks));
  }
}

std::vector<Sequence> Deviation::right_rows(std::span<const Sequence> all) const {
  std::vector<Sequence> right;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Sequence rest = all[i];
    const auto take = [&](std::int64_t rows) {
      Sequence part = rest;
      part.rows = rows;
      if (rows > 0) right.push_back(part);
    };
    const auto skip = [&](std::int64_t rows) { rest.first_row += rows, rest.rows -= rows, rest.past += rows; };
    for (const Affected& a : affected_) {
      if (a.feed != i) continue;
      const std::int64_t before = a.first_row - rest.first_row;
      take(before);
      skip(before + a.rows);
    }
    take(rest.rows);
  }
  return right;
}

// Each row as a sequence of its own, so that each can see what it likes.
std::vector<Sequence> Deviation::faulty_rows(const Affected& a, bool causal, bool window,
                                             std::byte* const* blocks) const {
  const Mask mask = a.fault.mask;
  const std::int64_t more = a.fault.content == Fault::Content::hole        ? 1
                            : a.fault.content == Fault::Content::last_lost ? -1
                                                                           : 0;
  const std::int64_t past = a.past + more, all = past + a.rows;
  std::vector<Sequence> rows;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    std::int64_t first = 0, end = causal ? past + r + 1 : all;
    const auto window_from = [&](std::int64_t last) {
      return std::max<std::int64_t>(0, last - std::max<std::int64_t>(a.fault.keys, 1));
    };
    if (mask == Mask::later_seen) end = all;
    if (mask == Mask::one_more) ++end;
    if (mask == Mask::both_ways) end = std::max(end, std::min(all, a.fault.keys));
    if (mask == Mask::top_left) end = r + 1;
    if (mask == Mask::past_ignored) first = past;
    if (mask == Mask::window || (mask == Mask::layer_window && window)) first = window_from(end);
    if (mask == Mask::window_of_call) first = std::min(window_from(all), end - 1);
    if (mask == Mask::first_dropped) first = std::min(a.fault.keys, past);
    const Sequence row{.first_row = a.first_row + r,
                       .rows = 1,
                       .past = end - 1,
                       .blocks = blocks,
                       .first_key = first,
                       .alibi_from = a.fault.alibi == Fault::Alibi::new_tokens_only ? past : 0};
    rows.push_back(row);
  }
  return rows;
}

}  // namespace pkv::model
