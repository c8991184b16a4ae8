// What is computed row by row and element by element.
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/law/packed.h"
#include "engine/kernels/law/rows.h"

namespace pkv::kernels::cuda {
namespace {

// A view of rank 2 as kernels take it.
struct Rows {
  float* data = nullptr;
  std::int64_t step = 0;

  __device__ float* row(std::int64_t r) const { return data + r * step; }
};
Rows rows_of(const View& v) { return {v.as<float>(), v.rank > 1 ? v.step(0) : 0}; }

constexpr int kThreads = 256;

// A grid with a thread for each element of [rows, n].
dim3 grid_of(std::int64_t rows, std::int64_t n) {
  return {blocks_for(n, kThreads), static_cast<unsigned>(std::min<std::int64_t>(rows, 65535)), 1};
}

// Body(row, column) of all elements.
template <class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(std::int64_t rows, std::int64_t n, Body body) {
  wait_for_operands();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  for (std::int64_t r = blockIdx.y; r < rows; r += gridDim.y) body(r, i);
}

// ---- embed

struct EmbedOf {
  const std::int32_t* ids;
  const void* table;
  law::Packed packed;
  Rows out;
  DType dtype;
  float scale;
  bool add;

  __device__ float value(std::int64_t o, std::int64_t k) const {
    if (dtype == DType::f32) return static_cast<const float*>(table)[o * packed.in + k];
    return packed_value(table, packed, dtype == DType::bf16, o, k);
  }
  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    float* to = out.row(r) + i;
    const float v = value(ids[r], i);
    *to = add ? law::embedded(scale, v, *to) : law::embedded(scale, v);
  }
};

struct EmbedQuantized {
  const std::int32_t* ids;
  DeviceMatrix matrix;
  Rows out;
  float scale;
  bool add;

  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    float* to = out.row(r) + i;
    const float v = matrix.decoded(ids[r], i);
    *to = add ? law::embedded(scale, v, *to) : law::embedded(scale, v);
  }
};

// ---- norm

struct NormOf {
  const float *x, *weight, *bias;
  float* out;
  std::int64_t n, x_row, x_group, out_row, out_group, weight_group, bias_group;
  float eps;
  bool centred, vectors;
};

// One block of 128 threads a row, a thread for each chain of sums.h.
__global__ void __launch_bounds__(law::kRowChains) norm_kernel(NormOf a) {
  __shared__ float of_warps[4];
  wait_for_operands();
  const std::int64_t r = blockIdx.x, g = blockIdx.y;
  const float* x = a.x + r * a.x_row + g * a.x_group;
  float* out = a.out + r * a.out_row + g * a.out_group;
  const int t = static_cast<int>(threadIdx.x);
  const auto sum = [&](auto&& element) {
    float chain = 0;
    for (std::int64_t i = 4 * t; i < a.n; i += 4 * law::kRowChains) {
      if (a.vectors) {
        const float4 v = *reinterpret_cast<const float4*>(x + i);
        chain = element(chain, v.x), chain = element(chain, v.y), chain = element(chain, v.z),
        chain = element(chain, v.w);
      } else {
        for (std::int64_t k = i; k < i + 4 && k < a.n; ++k) chain = element(chain, x[k]);
      }
    }
    chain = warp_sum(chain);
    __syncthreads();
    if (t % 32 == 0) of_warps[t / 32] = chain;
    __syncthreads();
    return law::sum_of_warps(of_warps[0], of_warps[1], of_warps[2], of_warps[3]);
  };
  law::Moments m{0, 0};
  if (a.centred) m.mean = law::mean_of(sum([](float s, float v) { return s + v; }), a.n);
  const float mean = m.mean;
  const float squares = sum([mean](float s, float v) {
    const float d = v - mean;
    return law::fma(d, d, s);
  });
  m.scale = law::scale_of(squares, a.n, a.eps);
  const float* weight = a.weight == nullptr ? nullptr : a.weight + g * a.weight_group;
  const float* bias = a.bias == nullptr ? nullptr : a.bias + g * a.bias_group;
  for (std::int64_t i = t; i < a.n; i += law::kRowChains) {
    out[i] = law::normalised(m, x[i], weight == nullptr ? nullptr : weight + i, bias == nullptr ? nullptr : bias + i);
  }
}

// ---- positions

struct AnglesOf {
  const std::int32_t* positions;
  const float* frequencies;
  Rows cos, sin;
  float factor;

  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    law::angle_of(positions[r], frequencies[i], factor, cos.row(r)[i], sin.row(r)[i]);
  }
};

struct RotateOf {
  float* x;
  Rows cos, sin;
  std::int64_t row, group, head, heads, pairs;
  bool neighbours;

  // i: (group, head, pair)
  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    const std::int64_t h = i / pairs, p = i % pairs;
    float* at = x + r * row + h / heads * group + h % heads * head;
    law::rotated(at[neighbours ? 2 * p : p], at[neighbours ? 2 * p + 1 : p + pairs], cos.row(r)[p], sin.row(r)[p]);
  }
};

// ---- append

struct AppendOf {
  const float *k, *v;
  std::int64_t k_row, k_head, v_row, v_head, heads;
  const Sequence* sequences;
  std::int64_t count;
  PastLayer layer;

  // i: (head, dimension)
  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    const Sequence* s = sequences;
    while (r - s->first_row >= s->rows || r < s->first_row) {
      if (++s == sequences + count) return;
    }
    const std::int64_t h = i / layer.head_dim, d = i % layer.head_dim, j = s->past + r - s->first_row;
    std::byte* block = s->blocks[j / kBlockTokens];
    store(block + layer.key(h, j), d * kBlockTokens, k[r * k_row + h * k_head + d]);
    store(block + layer.value(h, j), d, v[r * v_row + h * v_head + d]);
  }
  __device__ void store(std::byte* at, std::int64_t i, float x) const {
    if (layer.dtype == DType::f32) {
      reinterpret_cast<float*>(at)[i] = x;
    } else {
      reinterpret_cast<std::uint16_t*>(at)[i] = layer.dtype == DType::f16 ? law::half_of(x) : law::bf16_of(x);
    }
  }
};

// ---- elementwise

struct GateOf {
  Rows x, up, out;
  std::int64_t n, x_group, up_group, out_group;
  Act act;
  const float* xielu;
  bool neighbours;
  float limit;

  // i: (group, element)
  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    const std::int64_t g = i / n, e = i % n;
    const float* from = x.row(r) + g * x_group;
    const float v = from[neighbours ? 2 * e : e];
    const float by = neighbours ? from[2 * e + 1] : up.data == nullptr ? 1.f : up.row(r)[g * up_group + e];
    float& to = out.row(r)[g * out_group + e];
    if (limit > 0) {
      to = law::gated(act, v, by, limit);
    } else {
      to = (xielu != nullptr ? law::xielu(xielu, v) : law::apply(act, v)) * by;
    }
  }
};

struct MixOf {
  Rows x, weights, add, out;
  const std::int32_t* places;
  std::int64_t places_step, chosen;

  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    float sum = 0;
    for (std::int64_t c = 0; c < chosen; ++c) {
      const std::int64_t place = places != nullptr ? places[r * places_step + c] : r;
      sum = law::added(weights.row(r)[c], x.row(place)[i], sum);
    }
    out.row(r)[i] = add.data != nullptr ? add.row(r)[i] + sum : sum;
  }
};

struct ScaleOf {
  Rows x, out;
  float factor, cap;

  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    out.row(r)[i] = law::scaled(x.row(r)[i], factor, cap);
  }
};

struct AddOf {
  Rows x, add, out;
  float scale;

  __device__ void operator()(std::int64_t r, std::int64_t i) const {
    out.row(r)[i] = law::added(scale, x.row(r)[i], add.row(r)[i]);
  }
};

struct PickOf {
  Rows x, out;
  const std::int32_t* rows;

  __device__ void operator()(std::int64_t r, std::int64_t i) const { out.row(r)[i] = x.row(rows[r])[i]; }
};

template <class Body>
void each(Device& device, const char* what, std::int64_t rows, std::int64_t n, const Body& body) noexcept {
  launch(of(device), what, each_kernel<Body>, grid_of(rows, n), kThreads, 0, rows, n, body);
}

bool aligned(const void* p, std::int64_t step) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && step % 4 == 0;
}

}  // namespace

void embed(Device& device, const Embed& a) noexcept {
  const auto* ids = a.ids.as<const std::int32_t>();
  if (a.quantized) {
    return each(device, "embed", a.out[0], a.out[1],
                EmbedQuantized{ids, device_matrix(a.quantized), rows_of(a.out), a.scale, a.add});
  }
  each(device, "embed", a.out[0], a.out[1],
       EmbedOf{ids, a.table.data, {a.table[0], a.table[1]}, rows_of(a.out), a.table.dtype, a.scale, a.add});
}

void norm(Device& device, const Norm& a) noexcept {
  const bool grouped = a.x.rank == 3;
  const std::int64_t n = a.x[a.x.rank - 1];
  const NormOf of_call{.x = a.x.as<const float>(),
                       .weight = a.weight.as<const float>(),
                       .bias = a.bias.as<const float>(),
                       .out = a.out.as<float>(),
                       .n = n,
                       .x_row = a.x.step(0),
                       .x_group = grouped ? a.x.step(1) : 0,
                       .out_row = a.out.step(0),
                       .out_group = grouped ? a.out.step(1) : 0,
                       .weight_group = a.weight.rank == 2 ? a.weight.step(0) : 0,
                       .bias_group = a.bias.rank == 2 ? a.bias.step(0) : 0,
                       .eps = a.eps,
                       .centred = a.centred,
                       .vectors = n % 4 == 0 && aligned(a.x.data, a.x.step(0)) && (!grouped || a.x.step(1) % 4 == 0)};
  launch(of(device), "norm", norm_kernel,
         dim3(static_cast<unsigned>(a.x[0]), grouped ? static_cast<unsigned>(a.x[1]) : 1), law::kRowChains, 0, of_call);
}

void angles(Device& device, const Angles& a) noexcept {
  each(device, "angles", a.cos[0], a.cos[1],
       AnglesOf{a.positions.as<const std::int32_t>(), a.frequencies.as<const float>(), rows_of(a.cos), rows_of(a.sin),
                a.factor});
}

void rotate(Device& device, const Rotate& a) noexcept {
  each(device, "rotate", a.x[0], a.x[1] * a.x[2] * a.cos[1],
       RotateOf{a.x.as<float>(), rows_of(a.cos), rows_of(a.sin), a.x.step(0), a.x.step(1), a.x.step(2), a.x[2],
                a.cos[1], a.neighbours});
}

void append(Device& device, const Append& a) noexcept {
  each(device, "append", a.k[0], a.k[1] * a.k[2],
       AppendOf{a.k.as<const float>(), a.v.as<const float>(), a.k.step(0), a.k.step(1), a.v.step(0), a.v.step(1),
                a.k[1], a.batch.sequences, a.batch.count, a.layer});
}

void gate(Device& device, const Gate& a) noexcept {
  const auto group = [](const View& v) { return v.rank == 3 ? v.step(1) : 0; };
  const bool grouped = a.out.rank == 3;
  each(device, "gate", a.out[0], grouped ? a.out[1] * a.out[2] : a.out[1],
       GateOf{rows_of(a.x), rows_of(a.up), rows_of(a.out), a.out[a.out.rank - 1], group(a.x), group(a.up), group(a.out),
              a.act, a.xielu.as<const float>(), a.neighbours, a.limit});
}

void scale(Device& device, const Scale& a) noexcept {
  each(device, "scale", a.out[0], a.out[1], ScaleOf{rows_of(a.x), rows_of(a.out), a.factor, a.cap});
}

void add(Device& device, const Add& a) noexcept {
  each(device, "add", a.out[0], a.out[1], AddOf{rows_of(a.x), rows_of(a.add), rows_of(a.out), a.scale});
}

void mix(Device& device, const Mix& a) noexcept {
  each(device, "mix", a.out[0], a.out[1],
       MixOf{rows_of(a.x), rows_of(a.weights), rows_of(a.add), rows_of(a.out), a.places.as<const std::int32_t>(),
             a.places ? a.places.step(0) : 0, a.weights[1]});
}

void pick(Device& device, const Pick& a) noexcept {
  each(device, "pick", a.out[0], a.out[1], PickOf{rows_of(a.x), rows_of(a.out), a.rows.as<const std::int32_t>()});
}

}  // namespace pkv::kernels::cuda
