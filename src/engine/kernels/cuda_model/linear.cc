// Products: law/linear.h and law/quantized.h. A task is some outputs, for all rows.
#include "engine/kernels/law/linear.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/cuda_model/table.h"
#include "engine/kernels/cuda_model/vectors.h"
#include "engine/kernels/law/packed.h"
#include "engine/kernels/law/quantized.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::cuda_model {
namespace {

using Int = std::int64_t;

float finish(const Linear& a, Int r, Int o, float sum) {
  const law::Epilogue e{.bias = a.bias ? a.bias.as<const float>() : nullptr, .clip = a.clip, .act = a.act};
  return law::finished(e, o, sum, a.add ? row(a.add, r) + o : nullptr);
}

// What is in a row of activations beside finite numbers: a product by it has no need of steps, or no way through
// vectors.
enum class Kind : std::uint8_t { finite, infinite, not_a_number };

// Rows of activations as halves: numbers and their exponents, zeros up to a whole step.
struct HalvedRows {
  HalvedRows(const View& x, Int k) : padded((k + kSteps - 1) / kSteps * kSteps) {
    const Int rows = x[0];
    for (std::vector<float>& v : halves) v.resize(static_cast<std::size_t>(rows * padded));
    for (std::vector<float>& v : exponents) v.assign(static_cast<std::size_t>(rows * padded), kNothing);
    for (Int r = 0; r < rows; ++r) {
      const float* from = row(x, r);
      std::uint32_t most = 0;
      Kind kind = Kind::finite;
      for (Int i = 0; i < k; ++i) {
        most = std::max(most, law::finite_magnitude(from[i]));
        if (std::isinf(from[i])) kind = std::max(kind, Kind::infinite);
        if (std::isnan(from[i])) kind = Kind::not_a_number;
      }
      const std::int32_t exponent = law::row_exponent(most);
      const float scale = law::power_of_two(exponent);
      for (Int i = 0; i < k; ++i) {
        const law::Halves h = law::split(from[i] * scale);
        const auto at = static_cast<std::size_t>(r * padded + i);
        const float values[] = {law::float_of_half(h.hi), law::float_of_half(h.lo)};
        for (int part = 0; part < 2; ++part) {
          halves[part][at] = values[part];
          exponents[part][at] = exponent_of(values[part], kLeastOfHalf);
        }
      }
      back.push_back(law::power_of_two(-exponent));
      kinds.push_back(kind);
    }
  }
  Int padded;
  std::vector<float> halves[2], exponents[2];  // first and second; [rows, padded]
  std::vector<float> back;                     // [rows]: 2^-a
  std::vector<Kind> kinds;
};

// Weights of up to kVector outputs in a segment of K, as halves; by input, then output.
struct Segment {
  float weights[256 * kVector], exponents[256 * kVector];
  bool finite = true;
};

struct Output {
  float scale = 1, back = 1;  // 2^b, 2^-b
  std::vector<law::Apart> apart;
};

Output output_of(const Linear& a, Int o) {
  Output output;
  if (a.weight.dtype == DType::f16) return output;
  const Int in = a.x[1];
  std::uint32_t most = 0;
  for (Int k = 0; k < in; ++k) {
    most = std::max(most, law::finite_magnitude(load_element(a.weight.data, a.weight.dtype, o * in + k)));
  }
  const std::int32_t exponent = law::weight_exponent(most);
  output.scale = law::power_of_two(exponent), output.back = law::power_of_two(-exponent);
  return output;
}

// `n`: inputs from `first` on, then zeros to a whole step.
void load_segment(const Linear& a, Int o, Int count, Int first, Int n, Output* outputs, Segment& segment) {
  const Int in = a.x[1];
  const bool bf16 = a.weight.dtype == DType::bf16;
  segment.finite = true;
  for (Int l = 0; l < kVector; ++l) {
    for (Int k = 0; k < (n + kSteps - 1) / kSteps * kSteps; ++k) {
      float w = 0;
      if (l < count && k < n) {
        const auto bits = load_element<std::uint16_t>(a.weight.data, (o + l) * in + first + k);
        if (bf16) {
          const law::Weight h = law::weight_of_bf16(bits, outputs[l].scale);
          if (h.lost) outputs[l].apart.push_back({static_cast<std::int32_t>(first + k), law::float_of_bf16(bits)});
          w = law::float_of_half(h.half);
        } else {
          w = law::float_of_half(bits);
        }
      }
      segment.weights[k * kVector + l] = w;
      segment.exponents[k * kVector + l] = exponent_of(w, kLeastOfHalf);
      segment.finite &= std::isfinite(w);
    }
  }
}

// One output by one half of a row's activations, step by step as law/step.h has it: what is not finite comes here.
float chain_of_steps(const float* x, const float* weights, Int n) {
  float c = 0;
  for (Int k = 0; k < n; k += kSteps) {
    std::uint16_t first[kSteps], second[kSteps];
    for (int i = 0; i < kSteps; ++i) {
      first[i] = law::half_of(x[k + i]), second[i] = law::half_of(weights[(k + i) * kVector]);
    }
    c = law::step_of_halves(first, second, c);
  }
  return c;
}

PKV_ALWAYS void product_of_halves(const Linear& a, const HalvedRows& rows, Int o) {
  const Int in = a.x[1], count = std::min<Int>(kVector, a.weight[0] - o), length = law::segment_of(in);
  Output outputs[kVector];
  for (Int l = 0; l < count; ++l) outputs[l] = output_of(a, o + l);
  std::vector<float> sums(static_cast<std::size_t>(a.x[0] * kVector), 0.f);
  Segment segment;
  for (Int first = 0; first < in; first += length) {
    const Int n = std::min(length, in - first), padded = (n + kSteps - 1) / kSteps * kSteps;
    load_segment(a, o, count, first, n, outputs, segment);
    for (Int r = 0; r < a.x[0]; ++r) {
      if (rows.kinds[r] == Kind::not_a_number) continue;
      const bool plain = segment.finite && rows.kinds[r] == Kind::finite;
      const Int at = r * rows.padded + first;
      float chains[2][kVector];
      for (int part = 0; part < 2; ++part) {
        const float *x = rows.halves[part].data() + at, *e = rows.exponents[part].data() + at;
        Floats c = {};
        for (Int k = 0; plain && k < padded; k += kSteps) {
          step_of_vector(x + k, e + k, segment.weights + k * kVector, segment.exponents + k * kVector, kVector, c);
        }
        std::memcpy(chains[part], &c, sizeof c);
        for (Int l = 0; !plain && l < count; ++l) chains[part][l] = chain_of_steps(x, segment.weights + l, padded);
      }
      float* sum = sums.data() + r * kVector;
      for (int l = 0; l < kVector; ++l) sum[l] = sum[l] + law::joined(chains[0][l], chains[1][l]);
    }
  }
  for (Int r = 0; r < a.x[0]; ++r) {
    for (Int l = 0; l < count; ++l) {
      float sum = law::scaled_back(sums[r * kVector + l], rows.back[r], outputs[l].back);
      for (const law::Apart& w : outputs[l].apart) sum = law::fma(row(a.x, r)[w.input], w.weight, sum);
      if (rows.kinds[r] == Kind::not_a_number) sum = law::float_of(law::kNotANumber);
      row(a.out, r)[o + l] = finish(a, r, o + l, sum);
    }
  }
}
PKV_FUSED void product_of_halves_fused(const Linear& a, const HalvedRows& rows, Int o) {
  product_of_halves(a, rows, o);
}

PKV_ALWAYS float product_of_floats(const float* x, const float* w, Int in) {
  float sum = 0;
  for (Int piece = 0; piece < in; piece += law::kPiece) {
    const Int end = std::min(in, piece + law::kPiece);
    float lanes[law::kLanes] = {};
    Int k = piece;
    for (; k + law::kStride <= end; k += law::kStride) {
      for (int l = 0; l < law::kLanes; ++l) {
        for (int i = 4 * l; i < 4 * l + 4; ++i) lanes[l] = law::fma(x[k + i], w[k + i], lanes[l]);
      }
    }
    for (Int i = 0; k + i < end; ++i) lanes[i / 4] = law::fma(x[k + i], w[k + i], lanes[i / 4]);
    sum = sum + law::tree_of_lanes(lanes);
  }
  return sum;
}
PKV_ALWAYS void products_of_floats(const Linear& a, const float* w, Int o) {
  for (Int r = 0; r < a.x[0]; ++r) row(a.out, r)[o] = finish(a, r, o, product_of_floats(row(a.x, r), w, a.x[1]));
}
PKV_FUSED void products_of_floats_fused(const Linear& a, const float* w, Int o) { products_of_floats(a, w, o); }

// Columns that hold an outlier in any row; empty when each row has its own.
std::vector<std::uint8_t> outliers_of_call(const Linear& a) {
  std::vector<std::uint8_t> flags;
  if (!a.outliers_of_call) return flags;
  flags.resize(static_cast<std::size_t>(a.x[1]));
  for (Int r = 0; r < a.x[0]; ++r) {
    for (Int k = 0; k < a.x[1]; ++k) {
      if (law::is_outlier(law::as_half(row(a.x, r)[k]), a.outlier_threshold)) flags[k] = 1;
    }
  }
  return flags;
}

void product_of_codes(const Linear& a, const std::vector<quant::Activations>& rows, Int o) {
  const Int in = a.x[1];
  const auto* codes = a.quantized.codes.as<const std::int8_t>() + o * in;
  const float scale = quant::scale_at(a.quantized.scales.as<const std::byte>(), o);
  for (Int r = 0; r < a.x[0]; ++r) {
    const quant::Activations& x = rows[r];
    std::int32_t integers = 0;
    for (Int k = 0; k < in; ++k) integers += x.codes[k] * codes[k];
    float sum = law::int8_product(integers, x.scale, scale), outliers = 0;
    for (std::size_t i = 0; i < x.columns.size(); ++i) {
      outliers = law::fma(x.values[i], law::decoded_int8(codes[x.columns[i]], scale), outliers);
    }
    if (!x.columns.empty()) sum = sum + outliers;
    row(a.out, r)[o] = finish(a, r, o, sum);
  }
}

void quantized(Device& device, const Linear& a, Int work) {
  quant::Matrix m = a.quantized;
  if (m.traits().product == quant::Product::of_codes) {
    const std::vector<std::uint8_t> among = outliers_of_call(a);
    std::vector<quant::Activations> rows;
    for (Int r = 0; r < a.x[0]; ++r) {
      const std::span<const float> x(row(a.x, r), static_cast<std::size_t>(m.in));
      rows.push_back(quant::encode_activations(x, a.outlier_threshold, among));
    }
    return spread(device, m.out, work, [&](Int o) { product_of_codes(a, rows, o); });
  }
  m.decoded = DType::f32;
  spread(device, m.out, work, [&](Int o) {
    std::vector<float> w(static_cast<std::size_t>(m.in));
    quant::decode(m, o, 0, w);
    has_fused() ? products_of_floats_fused(a, w.data(), o) : products_of_floats(a, w.data(), o);
  });
}

}  // namespace

void linear(Device& device, const Linear& a) noexcept {
  const Int outs = a.quantized ? a.quantized.out : a.weight[0], work = a.x[0] * a.x[1] * outs;
  if (a.quantized) return quantized(device, a, work);
  if (a.weight.dtype != DType::f32) {
    const HalvedRows rows(a.x, a.x[1]);
    return spread(device, (outs + kVector - 1) / kVector, work, [&](Int i) {
      has_fused() ? product_of_halves_fused(a, rows, i * kVector) : product_of_halves(a, rows, i * kVector);
    });
  }
  spread(device, outs, work, [&](Int o) {
    std::vector<float> w(static_cast<std::size_t>(a.x[1]));
    load_elements(a.weight.data, DType::f32, o * a.x[1], w);
    has_fused() ? products_of_floats_fused(a, w.data(), o) : products_of_floats(a, w.data(), o);
  });
}

}  // namespace pkv::kernels::cuda_model
