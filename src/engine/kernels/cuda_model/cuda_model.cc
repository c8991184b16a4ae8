#include "engine/kernels/cuda_model/cuda_model.h"

#include <algorithm>
#include <vector>

#include "engine/kernels/cuda_model/table.h"
#include "engine/kernels/law/route.h"
#include "engine/kernels/law/rows.h"
#include "engine/kernels/naive/naive.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::cuda_model {
namespace {

using Int = std::int64_t;

void embed(Device&, const Embed& a) noexcept {
  std::vector<float> values(static_cast<std::size_t>(a.out[1]));
  for (Int r = 0; r < a.out[0]; ++r) {
    const std::int32_t id = a.ids.as<const std::int32_t>()[r];
    if (a.quantized) {
      quant::decode(a.quantized, id, 0, values);
    } else {
      load_elements(a.table.data, a.table.dtype, id * a.table.step(0), values);
    }
    float* out = row(a.out, r);
    for (Int i = 0; i < a.out[1]; ++i) {
      out[i] = a.add ? law::embedded(a.scale, values[i], out[i]) : law::embedded(a.scale, values[i]);
    }
  }
}

// Numbers of group g: its own, or those that all groups share; null: there are none.
const float* of_group(const View& v, Int g) {
  return v.rank == 2 ? v.as<const float>() + g * v.step(0) : v.as<const float>();
}

void norm_group(const Norm& a, Int n, const float* x, const float* weight, const float* bias, float* out) {
  law::Moments m{0, 0};
  if (a.centred) {
    float chains[law::kRowChains] = {};
    for (Int i = 0; i < n; ++i) chains[law::row_chain(i)] = chains[law::row_chain(i)] + x[i];
    m.mean = law::mean_of(law::sum_of_chains(chains), n);
  }
  float chains[law::kRowChains] = {};
  for (Int i = 0; i < n; ++i) {
    float& chain = chains[law::row_chain(i)];
    const float d = x[i] - m.mean;
    chain = law::fma(d, d, chain);
  }
  m.scale = law::scale_of(law::sum_of_chains(chains), n, a.eps);
  for (Int i = 0; i < n; ++i) {
    out[i] = law::normalised(m, x[i], weight != nullptr ? weight + i : nullptr, bias != nullptr ? bias + i : nullptr);
  }
}

void norm(Device&, const Norm& a) noexcept {
  const bool grouped = a.x.rank == 3;
  for (Int r = 0; r < a.x[0]; ++r) {
    for (Int g = 0; g < (grouped ? a.x[1] : 1); ++g) {
      const float* x = row(a.x, r) + (grouped ? g * a.x.step(1) : 0);
      float* out = row(a.out, r) + (grouped ? g * a.out.step(1) : 0);
      norm_group(a, a.x[a.x.rank - 1], x, of_group(a.weight, g), of_group(a.bias, g), out);
    }
  }
}

void angles(Device&, const Angles& a) noexcept {
  for (Int r = 0; r < a.cos[0]; ++r) {
    for (Int i = 0; i < a.cos[1]; ++i) {
      law::angle_of(a.positions.as<const std::int32_t>()[r], a.frequencies.as<const float>()[i], a.factor,
                    row(a.cos, r)[i], row(a.sin, r)[i]);
    }
  }
}

void rotate(Device&, const Rotate& a) noexcept {
  const Int pairs = a.cos[1];
  for (Int r = 0; r < a.x[0]; ++r) {
    for (Int h = 0; h < a.x[1] * a.x[2]; ++h) {
      float* x = row(a.x, r) + h / a.x[2] * a.x.step(1) + h % a.x[2] * a.x.step(2);
      for (Int i = 0; i < pairs; ++i) {
        law::rotated(x[a.neighbours ? 2 * i : i], x[a.neighbours ? 2 * i + 1 : i + pairs], row(a.cos, r)[i],
                     row(a.sin, r)[i]);
      }
    }
  }
}

// function(part, n) for each run of n elements of out [rows, n] or [rows, groups, n]; part(v) is where that lies in v.
template <class Function>
void each(const View& out, const Function& function) {
  const bool grouped = out.rank == 3;
  const Int n = out[out.rank - 1], groups = grouped ? out[1] : 1;
  for (Int r = 0; r < out[0] * groups; ++r) {
    const auto part = [&](const View& v) { return row(v, r / groups) + (grouped ? r % groups * v.step(1) : 0); };
    function(part, n);
  }
}

void gate(Device&, const Gate& a) noexcept {
  each(a.out, [&](const auto& part, Int n) {
    const float *xs = part(a.x), *ups = a.up ? part(a.up) : nullptr;
    float* out = part(a.out);
    for (Int i = 0; i < n; ++i) {
      const float x = xs[a.neighbours ? 2 * i : i];
      const float up = a.neighbours ? xs[2 * i + 1] : ups != nullptr ? ups[i] : 1;
      if (a.limit > 0) {
        out[i] = law::gated(a.act, x, up, a.limit);
      } else {
        out[i] = (a.xielu ? law::xielu(a.xielu.as<const float>(), x) : law::apply(a.act, x)) * up;
      }
    }
  });
}

void scale(Device&, const Scale& a) noexcept {
  each(a.out, [&](const auto& part, Int n) {
    const float* x = part(a.x);
    float* out = part(a.out);
    for (Int i = 0; i < n; ++i) out[i] = law::scaled(x[i], a.factor, a.cap);
  });
}

void add(Device&, const Add& a) noexcept {
  each(a.out, [&](const auto& part, Int n) {
    const float *x = part(a.x), *to = part(a.add);
    float* out = part(a.out);
    for (Int i = 0; i < n; ++i) out[i] = law::added(a.scale, x[i], to[i]);
  });
}

void route(Device&, const Route& a) noexcept {
  const Int experts = a.scores[1];
  std::vector<double> scratch(static_cast<std::size_t>(law::route_scratch(experts)) / sizeof(double) + 1);
  for (Int r = 0; r < a.scores[0]; ++r) {
    law::choose_experts(a.how, row(a.scores, r), a.bias ? a.bias.as<const float>() : nullptr, static_cast<int>(experts),
                        static_cast<int>(a.weights[1]), scratch.data(), row(a.weights, r),
                        a.places.as<std::int32_t>() + r * a.places.step(0));
  }
  host::group_by_expert(a);
}

void expert_linear(Device& device, const ExpertLinear& a) noexcept {
  for (Int e = 0; e + 1 < a.starts[0]; ++e) {
    if (const Linear one = a.of(e); one.x[0] > 0) linear(device, one);
  }
}

void mix(Device&, const Mix& a) noexcept {
  for (Int r = 0; r < a.out[0]; ++r) {
    for (Int i = 0; i < a.out[1]; ++i) {
      float sum = 0;
      for (Int c = 0; c < a.weights[1]; ++c) {
        const Int place = a.places ? a.places.as<const std::int32_t>()[r * a.places.step(0) + c] : r;
        sum = law::added(row(a.weights, r)[c], row(a.x, place)[i], sum);
      }
      row(a.out, r)[i] = a.add ? row(a.add, r)[i] + sum : sum;
    }
  }
}

std::unique_ptr<Device> open(int threads) { return std::make_unique<host::Host>("cuda-model", threads); }

}  // namespace

const Ops& ops() {
  const Ops& moves = naive::ops();  // what moves numbers, or rounds them once, has the same bits in every table
  static const Ops table{.name = "cuda-model",
                         .open = open,
                         .memory = host::kMemory,
                         .linear_scratch = host::linear_scratch,
                         .embed = embed,
                         .norm = norm,
                         .linear = linear,
                         .angles = angles,
                         .rotate = rotate,
                         .append = moves.append,
                         .attend = attend,
                         .convolve = convolve,
                         .recur = recur,
                         .gate = gate,
                         .scale = scale,
                         .add = add,
                         .route = route,
                         .expert_linear = expert_linear,
                         .mix = mix,
                         .pick = moves.pick,
                         .convert = moves.convert,
                         .encode = moves.encode,
                         .decode = moves.decode};
  return table;
}

}  // namespace pkv::kernels::cuda_model
