// Attention: law/attend.h. A task is a sequence and a kv head: its blocks one after the other, each met by all the
// queries that see a part of it.
#include "engine/kernels/law/attend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/cuda_model/table.h"
#include "engine/kernels/cuda_model/vectors.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::cuda_model {
namespace {

using Int = std::int64_t;

constexpr Int kBlock = law::kBlock;
static_assert(kBlock == kBlockTokens);

constexpr Int whole(Int n, Int of) { return (n + of - 1) / of * of; }

// How a past's numbers meet those of fp32: by pieces of these through the matrix unit, or by fma as they are.
struct Fp32 {
  using Number = float;
  static constexpr int kPieces = 1;
};
struct Fp16 {
  using Number = float;  // in which products of it are exact
  static constexpr int kPieces = 2;
  static constexpr float kLeast = kLeastOfHalf;
  static float joined(const float* c) { return law::joined(c[0], c[1]); }
  static void split(float x, float* pieces) {
    const law::Halves h = law::split(x);
    pieces[0] = law::float_of_half(h.hi), pieces[1] = law::float_of_half(h.lo);
  }
  static float step(const float* x, const float* w, Int stride, float c) {
    std::uint16_t a[kSteps], b[kSteps];
    for (int i = 0; i < kSteps; ++i) a[i] = law::half_of(x[i]), b[i] = law::half_of(w[i * stride]);
    return law::step_of_halves(a, b, c);
  }
};
struct Bf16 {
  using Number = double;
  static constexpr int kPieces = 3;
  static constexpr float kLeast = kLeastOfBf16;
  static float joined(const float* c) { return law::joined(c[0], c[1], c[2]); }
  static void split(float x, float* pieces) {
    const law::Pieces p = law::split_bf16(x);
    for (int i = 0; i < 3; ++i) pieces[i] = law::float_of_bf16(p.b[i]);
  }
  static float step(const double* x, const double* w, Int stride, float c) {
    std::uint16_t a[kSteps], b[kSteps];
    for (int i = 0; i < kSteps; ++i) {
      a[i] = law::bf16_of(static_cast<float>(x[i])), b[i] = law::bf16_of(static_cast<float>(w[i * stride]));
    }
    return law::step_of_bf16(a, b, c);
  }
};

// Numbers as factors: their exponents beside them. Of fp32 these stay empty.
template <class Format>
struct Factors {
  std::vector<typename Format::Number> numbers;
  std::vector<float> exponents;

  explicit Factors(Int n) : numbers(static_cast<std::size_t>(n)), exponents(static_cast<std::size_t>(n), kNothing) {}
  void set(Int i, float x) {
    numbers[i] = x;
    if constexpr (Format::kPieces > 1) exponents[i] = std::isfinite(x) ? exponent_of(x, Format::kLeast) : kNothing;
  }
};

// A query: its factors, and what has been folded of its segment and of the segments before.
template <class Format>
struct Query {
  Query(const Attend& a, const Sequence& s, Int r, Int of)
      : head(of),
        position(s.past + r),
        alibi_from(s.alibi_from),
        seen(law::seen_by(position, s.past + s.rows, a.causal, a.window, s.first_key)),
        pieces(Format::kPieces, Factors<Format>(whole(a.q[3], kSteps))),
        values(static_cast<std::size_t>(a.q[3])),
        of_segment(values.size()) {
    const Int dim = a.q[3], per_group = a.q[2];
    const float* q = row(a.q, s.first_row + r) + head / per_group * a.q.step(1) + head % per_group * a.q.step(2);
    out = row(a.out, s.first_row + r) + head * dim;
    scale = a.factors ? a.scale * a.factors.as<const float>()[s.first_row + r] : a.scale;
    if (a.slopes) slope = law::slope_of(a.slopes.as<const float>()[head], position, a.alibi_bf16);
    std::uint32_t most = 0;
    for (Int d = 0; d < dim; ++d) {
      most = std::max(most, law::finite_magnitude(q[d]));
      finite &= std::isfinite(q[d]);
    }
    const std::int32_t exponent = Format::kPieces > 1 ? law::row_exponent(most) : 0;
    back = law::power_of_two(-exponent);
    for (Int d = 0; d < dim; ++d) {
      float each[3] = {q[d]};
      if constexpr (Format::kPieces > 1) Format::split(q[d] * law::power_of_two(exponent), each);
      for (int p = 0; p < Format::kPieces; ++p) pieces[p].set(d, each[p]);
    }
  }
  Int head, position, alibi_from;
  law::Seen seen;
  std::vector<Factors<Format>> pieces;
  std::vector<float> values, of_segment;
  law::Running all{}, segment{};
  bool any = false, any_of_segment = false, finite = true;
  float back = 1, scale = 1;
  law::Slope slope;
  float* out;
};

// A block's keys and values of one head; tokens that nobody of the call sees are 0.
template <class Format>
struct Block {
  explicit Block(Int dim) : width(whole(dim, kVector)), keys(whole(dim, kSteps) * kBlock), values(kBlock * width) {}
  void read(const Sequence& s, const PastLayer& layer, Int head, Int block, Int dim, Int from, Int to) {
    const std::byte* memory = s.blocks[block];
    for (Int j = 0; j < kBlock; ++j) {
      finite[j] = true;
      for (Int d = 0; d < dim; ++d) {
        const bool there = from <= j && j < to;
        const float k = there ? load_element(memory + layer.key(head, j), layer.dtype, d * kBlock) : 0;
        const float v = there ? load_element(memory + layer.value(head, j), layer.dtype, d) : 0;
        keys.set(d * kBlock + j, k), values.set(j * width + d, v);
        finite[j] &= std::isfinite(k) && std::isfinite(v);
      }
    }
  }
  Int width;             // of a value: dim, up to whole vectors
  Factors<Format> keys;  // [dim, tokens]
  Factors<Format> values;
  bool finite[kBlock];
};

// dots[j] = q . key j for j in [from, to)
template <class Format>
PKV_ALWAYS void dot_keys(const Query<Format>& q, const Block<Format>& block, Int dim, Int from, Int to, float* dots) {
  if constexpr (Format::kPieces == 1) {
    for (Int j = from; j < to; ++j) dots[j] = 0;
    for (Int d = 0; d < dim; ++d) {
      for (Int j = from; j < to; ++j) {
        dots[j] = law::fma(q.pieces[0].numbers[d], block.keys.numbers[d * kBlock + j], dots[j]);
      }
    }
  } else {
    float chains[kBlock][Format::kPieces];
    const auto* keys = block.keys.numbers.data();
    for (int p = 0; p < Format::kPieces; ++p) {
      const auto* x = q.pieces[p].numbers.data();
      for (Int j = from / kVector * kVector; j < to; j += kVector) {
        Floats c = {};
        for (Int d = 0; d < dim; d += kSteps) {
          step_of_vector(x + d, q.pieces[p].exponents.data() + d, keys + d * kBlock + j,
                         block.keys.exponents.data() + d * kBlock + j, kBlock, c);
        }
        for (Int i = 0; i < kVector; ++i) chains[j + i][p] = c[i];
      }
      for (Int j = from; j < to; ++j) {
        if (q.finite && block.finite[j]) continue;
        chains[j][p] = 0;
        for (Int d = 0; d < dim; d += kSteps) {
          chains[j][p] = Format::step(x + d, keys + d * kBlock + j, kBlock, chains[j][p]);
        }
      }
    }
    for (Int j = from; j < to; ++j) dots[j] = Format::joined(chains[j]) * q.back;
  }
}

// values[d] = sum of p[j] value j, j in [from, to). `p` is 0 elsewhere.
template <class Format>
PKV_ALWAYS void weigh_values(const float (&p)[kBlock], const Block<Format>& block, Int dim, Int from, Int to,
                             float* values) {
  if constexpr (Format::kPieces == 1) {
    std::fill(values, values + dim, 0.f);
    for (Int j = from; j < to; ++j) {
      for (Int d = 0; d < dim; ++d) {
        values[d] = law::fma(p[j], block.values.numbers[j * block.width + d], values[d]);
      }
    }
  } else {
    bool finite = true;
    std::vector<Factors<Format>> pieces(Format::kPieces, Factors<Format>(kBlock));
    for (Int j = from; j < to; ++j) {
      float each[3];
      Format::split(p[j] * law::kWeightScale, each);
      for (int i = 0; i < Format::kPieces; ++i) pieces[i].set(j, each[i]);
      finite &= std::isfinite(p[j]) && block.finite[j];
    }
    const auto* of = &block.values;
    Factors<Format> seen(0);
    if (!std::all_of(block.finite, block.finite + kBlock,
                     [](bool f) { return f; })) {  // others may see what is not finite
      seen = *of;
      for (Int j = 0; j < kBlock; ++j) {
        for (Int d = 0; (j < from || j >= to) && d < block.width; ++d) seen.set(j * block.width + d, 0);
      }
      of = &seen;
    }
    for (Int d = 0; d < dim; d += kVector) {
      float chains[kVector][Format::kPieces];
      for (int i = 0; i < Format::kPieces; ++i) {
        Floats c = {};
        for (Int j = from / kSteps * kSteps; finite && j < to; j += kSteps) {
          step_of_vector(pieces[i].numbers.data() + j, pieces[i].exponents.data() + j,
                         of->numbers.data() + j * block.width + d, of->exponents.data() + j * block.width + d,
                         block.width, c);
        }
        for (Int l = 0; l < kVector; ++l) {
          chains[l][i] = c[l];
          for (Int j = 0; !finite && j < kBlock; j += kSteps) {
            chains[l][i] = Format::step(pieces[i].numbers.data() + j, of->numbers.data() + j * block.width + d + l,
                                        block.width, chains[l][i]);
          }
        }
      }
      for (Int l = 0; l < std::min<Int>(kVector, dim - d); ++l) {
        values[d + l] = Format::joined(chains[l]) * (1 / law::kWeightScale);
      }
    }
  }
}

// Folds `now` into `all`; what was not there before is what is now.
void fold_in(bool& any, law::Running& all, std::vector<float>& values, law::Running now, const float* of_now) {
  if (!any) {
    any = true, all = now;
    std::copy(of_now, of_now + values.size(), values.begin());
    return;
  }
  const law::Factors f = law::fold(all, now);
  for (std::size_t d = 0; d < values.size(); ++d) values[d] = law::folded(values[d], of_now[d], f);
}

template <class Format>
PKV_ALWAYS void visit(const Attend& a, Query<Format>& q, const Block<Format>& block, Int first,
                      std::vector<float>& values) {
  const Int dim = a.q[3];
  const Int from = std::max<Int>(q.seen.first - first, 0), to = std::min(kBlock, q.seen.limit - first);
  float scores[kBlock], p[kBlock] = {};
  dot_keys(q, block, dim, from, to, scores);
  law::Running now{law::kLowest, 0};
  for (Int j = from; j < to; ++j) {
    if (a.slopes) {
      const float bias = law::bias_of(q.slope, std::max(first + j, q.alibi_from), q.position);
      scores[j] = law::score(scores[j], q.scale, a.cap, a.alibi_scale, bias);
    } else {
      scores[j] = law::score(scores[j], q.scale, a.cap);
    }
    now.most = law::larger(now.most, scores[j]);
  }
  for (Int j = from; j < to; ++j) p[j] = law::weight_of(scores[j] - now.most);
  now.sum = law::tree_of_block(p);
  weigh_values(p, block, dim, from, to, values.data());
  fold_in(q.any_of_segment, q.segment, q.of_segment, now, values.data());
}

template <class Format>
void end_segment(Query<Format>& q) {
  if (!q.any_of_segment) return;
  fold_in(q.any, q.all, q.values, q.segment, q.of_segment.data());
  q.any_of_segment = false;
}

template <class Format>
PKV_ALWAYS void attend_head(const Attend& a, const Sequence& s, Int group) {
  const Int dim = a.q[3], per_group = a.q[2];
  std::vector<Query<Format>> queries;
  for (Int r = 0; r < s.rows; ++r) {
    for (Int h = 0; h < per_group; ++h) {
      queries.emplace_back(a, s, r, group * per_group + h);
    }
  }
  Int first = queries.front().seen.first, limit = 0;
  for (const Query<Format>& q : queries) first = std::min(first, q.seen.first), limit = std::max(limit, q.seen.limit);
  Block<Format> block(dim);
  std::vector<float> values(static_cast<std::size_t>(dim));
  for (Int b = first / kBlock; b * kBlock < limit; ++b) {
    if (b % law::kSegmentBlocks == 0) std::for_each(queries.begin(), queries.end(), end_segment<Format>);
    const Int begin = b * kBlock;
    block.read(s, a.layer, group, b, dim, std::max<Int>(first - begin, 0), std::min(kBlock, limit - begin));
    for (Query<Format>& q : queries) {
      if (q.seen.first < begin + kBlock && begin < q.seen.limit) visit(a, q, block, begin, values);
    }
  }
  for (Query<Format>& q : queries) {
    end_segment(q);
    if (a.sinks) {
      const law::Factors f = law::fold(q.all, law::of_sink(a.sinks.as<const float>()[q.head]));
      for (float& value : q.values) value = law::folded(value, 0, f);
    }
    for (Int d = 0; d < dim; ++d) q.out[d] = q.values[d] / q.all.sum;
  }
}
PKV_ALWAYS void attend_any(const Attend& a, const Sequence& s, Int group) {
  if (a.layer.dtype == DType::f16) return attend_head<Fp16>(a, s, group);
  if (a.layer.dtype == DType::bf16) return attend_head<Bf16>(a, s, group);
  attend_head<Fp32>(a, s, group);
}
PKV_FUSED void attend_fused(const Attend& a, const Sequence& s, Int group) { attend_any(a, s, group); }

}  // namespace

void attend(Device& device, const Attend& a) noexcept {
  const std::span<const Sequence> sequences = host::sequences(a.batch);
  const Int work = a.batch.rows * a.q[1] * a.q[2] * a.q[3] * a.batch.most_blocks * kBlock;  // about
  spread(device, std::ssize(sequences) * a.q[1], work, [&](Int i) {
    const Sequence& s = sequences[i / a.q[1]];
    if (s.rows == 0) return;
    has_fused() ? attend_fused(a, s, i % a.q[1]) : attend_any(a, s, i % a.q[1]);
  });
}

}  // namespace pkv::kernels::cuda_model
