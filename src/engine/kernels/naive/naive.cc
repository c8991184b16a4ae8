#include "engine/kernels/naive/naive.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/kernels/host.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::naive {
namespace {

// Element `i` of memory of a floating-point dtype, in double, as everything here is computed.
double load(const void* memory, DType dtype, std::int64_t i) { return load_element(memory, dtype, i); }

float* row(const View& v, std::int64_t r) { return v.as<float>() + r * v.step(0); }

// Calls body(i) for each i in [0, count), on all threads: where that is more work than waking them.
template <class Body>
void spread(Device& device, std::int64_t count, const Body& body) noexcept {
  host::pool_of(device).parallel_for(count, [&](std::int64_t i) noexcept { body(i); });
}

// The same here, for what costs little beside a layer's products.
template <class Body>
void for_rows(std::int64_t rows, const Body& body) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) body(r);
}

void embed(Device&, const Embed& a) noexcept {
  for_rows(a.out[0], [&](std::int64_t r) {
    const std::int64_t first = a.quantized ? 0 : a.ids.as<const std::int32_t>()[r] * a.table.step(0);
    float* out = row(a.out, r);
    std::vector<float> values;
    if (a.quantized) {
      values.resize(static_cast<std::size_t>(a.out[1]));
      quant::decode(a.quantized, a.ids.as<const std::int32_t>()[r], 0, values);
    }
    for (std::int64_t i = 0; i < a.out[1]; ++i) {
      const double of_table =
          a.quantized ? values[static_cast<std::size_t>(i)] : load(a.table.data, a.table.dtype, first + i);
      const double x = static_cast<double>(a.scale) * of_table;
      out[i] = static_cast<float>(a.add ? out[i] + x : x);
    }
  });
}

// A row, or a group of one, by its own mean and variance.
void norm_group(const Norm& a, std::int64_t n, const float* x, const float* weight, const float* bias, float* out) {
  double mean = 0, variance = 0;
  if (a.centred) {
    for (std::int64_t i = 0; i < n; ++i) mean += x[i];
    mean /= static_cast<double>(n);
  }
  for (std::int64_t i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
  variance /= static_cast<double>(n);
  const double scale = 1 / std::sqrt(variance + static_cast<double>(a.eps));
  for (std::int64_t i = 0; i < n; ++i) {
    const double w = weight != nullptr ? weight[i] : 1, b = bias != nullptr ? bias[i] : 0;
    out[i] = static_cast<float>((x[i] - mean) * scale * w + b);
  }
}

// Numbers of group g: its own, or those that all groups share; null: there are none.
const float* of_group(const View& v, std::int64_t g) {
  return v.rank == 2 ? v.as<const float>() + g * v.step(0) : v.as<const float>();
}

void norm(Device&, const Norm& a) noexcept {
  const bool grouped = a.x.rank == 3;
  const std::int64_t groups = grouped ? a.x[1] : 1;
  for_rows(a.x[0], [&](std::int64_t r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const float* x = row(a.x, r) + (grouped ? g * a.x.step(1) : 0);
      float* out = row(a.out, r) + (grouped ? g * a.out.step(1) : 0);
      norm_group(a, a.x[a.x.rank - 1], x, of_group(a.weight, g), of_group(a.bias, g), out);
    }
  });
}

float finish(const Linear& a, std::int64_t r, std::int64_t o, double sum) {
  if (a.bias) sum += a.bias.as<const float>()[o];
  if (a.clip > 0) sum = std::clamp(sum, -static_cast<double>(a.clip), static_cast<double>(a.clip));
  sum = apply(a.act, sum);
  if (a.add) sum += row(a.add, r)[o];
  return static_cast<float>(sum);
}

// Columns that hold an outlier in any row; empty when each row has its own.
std::vector<std::uint8_t> outliers_of_call(const Linear& a) {
  std::vector<std::uint8_t> flags;
  if (!a.outliers_of_call) return flags;
  flags.resize(static_cast<std::size_t>(a.x[1]));
  for (std::int64_t r = 0; r < a.x[0]; ++r) {
    const std::span<const float> x(row(a.x, r), flags.size());
    for (const std::int32_t c : quant::encode_activations(x, a.outlier_threshold).columns) {
      flags[static_cast<std::size_t>(c)] = 1;
    }
  }
  return flags;
}

double dot(const float* x, std::span<const float> w) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(x[i]) * w[i];
  return sum;
}

double dot_int8(const quant::Activations& x, const float* w) {
  double codes = 0, outliers = 0;  // `w` has values, so codes * scale / 127
  for (std::size_t i = 0; i < x.codes.size(); ++i) codes += static_cast<double>(x.codes[i]) * w[i];
  for (std::size_t i = 0; i < x.columns.size(); ++i) {
    outliers += static_cast<double>(x.values[i]) * w[static_cast<std::size_t>(x.columns[i])];
  }
  return codes * x.scale / 127 + outliers;
}

// Where what row o of the weights gives stands.
std::int64_t place(const Linear& a, std::int64_t o) { return a.places ? a.places.as<const std::int32_t>()[o] : o; }

void linear_quantized(Device& device, const Linear& a) {
  quant::Matrix m = a.quantized;
  m.decoded = DType::f32;  // a product takes the values as they are, whatever they would be rounded to
  const auto in = static_cast<std::size_t>(m.in);
  const bool of_codes = m.traits().product == quant::Product::of_codes;
  std::vector<quant::Activations> rows;
  if (of_codes) {
    const std::vector<std::uint8_t> among = outliers_of_call(a);
    for (std::int64_t r = 0; r < a.x[0]; ++r) {
      rows.push_back(quant::encode_activations({row(a.x, r), in}, a.outlier_threshold, among));
    }
  }
  std::vector<std::vector<float>> coarse;
  for (std::int64_t r = 0; a.as_ggml && m.traits().scaling == quant::Scaling::inside && r < a.x[0]; ++r) {
    coarse.emplace_back(in);
    quant::round_as_ggml(m.format, {row(a.x, r), in}, coarse.back());
  }
  spread(device, m.out, [&](std::int64_t o) {
    std::vector<float> w(in);
    quant::decode(m, o, 0, w);
    for (std::int64_t r = 0; r < a.x[0]; ++r) {
      const float* x = a.as_ggml && !coarse.empty() ? coarse[static_cast<std::size_t>(r)].data() : row(a.x, r);
      const double sum = of_codes ? dot_int8(rows[static_cast<std::size_t>(r)], w.data()) : dot(x, w);
      row(a.out, r)[place(a, o)] = finish(a, r, place(a, o), sum);
    }
  });
}

void linear(Device& device, const Linear& a) noexcept {
  if (a.quantized) return linear_quantized(device, a);
  spread(device, a.weight[0], [&](std::int64_t o) {
    std::vector<float> w(static_cast<std::size_t>(a.x[1]));
    load_elements(a.weight.data, a.weight.dtype, o * a.x[1], w);
    for (std::int64_t r = 0; r < a.x[0]; ++r) {
      row(a.out, r)[place(a, o)] = finish(a, r, place(a, o), dot(row(a.x, r), w));
    }
  });
}

void angles(Device&, const Angles& a) noexcept {
  for_rows(a.cos[0], [&](std::int64_t r) {
    for (std::int64_t i = 0; i < a.cos[1]; ++i) {
      const double frequency = a.frequencies.as<const float>()[i];
      const double angle = frequency * a.positions.as<const std::int32_t>()[r];
      row(a.cos, r)[i] = static_cast<float>(static_cast<double>(a.factor) * std::cos(angle));
      row(a.sin, r)[i] = static_cast<float>(static_cast<double>(a.factor) * std::sin(angle));
    }
  });
}

void rotate(Device&, const Rotate& a) noexcept {
  const std::int64_t pairs = a.cos[1];
  for_rows(a.x[0], [&](std::int64_t r) {
    const float *cos = row(a.cos, r), *sin = row(a.sin, r);
    for (std::int64_t h = 0; h < a.x[1] * a.x[2]; ++h) {
      float* x = row(a.x, r) + (h / a.x[2]) * a.x.step(1) + (h % a.x[2]) * a.x.step(2);
      for (std::int64_t i = 0; i < pairs; ++i) {
        float& first = x[a.neighbours ? 2 * i : i];
        float& second = x[a.neighbours ? 2 * i + 1 : i + pairs];
        const double low = first, high = second, c = cos[i], s = sin[i];
        first = static_cast<float>(low * c - high * s);
        second = static_cast<float>(high * c + low * s);
      }
    }
  });
}

// Position j's key and value of a kv head.
std::byte* key_of(const Sequence& s, const PastLayer& p, std::int64_t head, std::int64_t j) {
  return s.blocks[j / kBlockTokens] + p.key(head, j);
}
std::byte* value_of(const Sequence& s, const PastLayer& p, std::int64_t head, std::int64_t j) {
  return s.blocks[j / kBlockTokens] + p.value(head, j);
}

void append(Device&, const Append& a) noexcept {
  const std::int64_t heads = a.k[1], dim = a.k[2];
  for (const Sequence& s : host::sequences(a.batch)) {
    for_rows(s.rows, [&](std::int64_t r) {
      const std::int64_t j = s.past + r;
      for (std::int64_t h = 0; h < heads; ++h) {
        const float* k = row(a.k, s.first_row + r) + h * a.k.step(1);
        const float* v = row(a.v, s.first_row + r) + h * a.v.step(1);
        for (std::int64_t d = 0; d < dim; ++d) {
          store_element(key_of(s, a.layer, h, j), a.layer.dtype, d * kBlockTokens, k[d]);
          store_element(value_of(s, a.layer, h, j), a.layer.dtype, d, v[d]);
        }
      }
    });
  }
}

double alibi(const Attend& a, std::int64_t head, std::int64_t j) {
  if (!a.slopes) return 0;
  const float slope = a.slopes.as<const float>()[head];
  if (!a.alibi_bf16) return static_cast<double>(slope) * static_cast<double>(j);
  return to_float(to_bf16(to_float(to_bf16(slope)) * static_cast<float>(j)));
}

void attend_row(const Attend& a, const Sequence& s, std::int64_t r, std::int64_t head) {
  const std::int64_t per_group = a.q[2], dim = a.q[3], group = head / per_group, position = s.past + r;
  const std::int64_t seen = a.causal ? position + 1 : s.past + s.rows;
  const std::int64_t first = std::max(s.first_key, a.window > 0 ? seen - a.window : 0);
  const double scale = a.scale * (a.factors ? static_cast<double>(a.factors.as<const float>()[s.first_row + r]) : 1);
  const float* q = row(a.q, s.first_row + r) + group * a.q.step(1) + (head % per_group) * a.q.step(2);
  std::vector<double> weight(static_cast<std::size_t>(seen));
  double most = -std::numeric_limits<double>::infinity(), total = 0;
  for (std::int64_t j = first; j < seen; ++j) {
    const std::byte* key = key_of(s, a.layer, group, j);
    double dot = 0;
    for (std::int64_t d = 0; d < dim; ++d) dot += q[d] * load(key, a.layer.dtype, d * kBlockTokens);
    double& w = weight[static_cast<std::size_t>(j)];
    w = scale * dot + a.alibi_scale * (alibi(a, head, std::max(j, s.alibi_from)) - alibi(a, head, position));
    if (a.cap > 0) w = a.cap * std::tanh(w / a.cap);
    most = std::max(most, w);
  }
  const float* sink = a.sinks ? a.sinks.as<const float>() + head : nullptr;
  if (sink != nullptr) most = std::max(most, static_cast<double>(*sink));
  for (std::int64_t j = first; j < seen; ++j) {
    double& w = weight[static_cast<std::size_t>(j)];
    total += w = std::exp(w - most);
  }
  if (sink != nullptr) total += std::exp(*sink - most);
  float* out = row(a.out, s.first_row + r) + head * dim;
  std::vector<double> sums(static_cast<std::size_t>(dim));
  std::vector<float> value(sums.size());
  for (std::int64_t j = first; j < seen; ++j) {
    load_elements(value_of(s, a.layer, group, j), a.layer.dtype, 0, value);
    for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight[static_cast<std::size_t>(j)] * value[d];
  }
  for (std::size_t d = 0; d < sums.size(); ++d) out[d] = static_cast<float>(sums[d] / total);
}

void attend(Device& device, const Attend& a) noexcept {
  const std::int64_t heads = a.q[1] * a.q[2];
  for (const Sequence& s : host::sequences(a.batch)) {
    spread(device, s.rows * heads, [&](std::int64_t i) { attend_row(a, s, i / heads, i % heads); });
  }
}

// Input of a channel, `back` tokens before row r of a sequence.
double input_before(const Convolve& a, const Sequence& s, std::int64_t r, std::int64_t back, std::int64_t channel) {
  if (back <= r) return row(a.x, s.first_row + r - back)[channel];
  const std::int64_t kept = a.weight[0] - 1;
  return s.state == nullptr ? 0 : load(s.state + a.at, DType::f32, (kept + r - back) * a.out[1] + channel);
}

void convolve(Device&, const Convolve& a) noexcept {
  const std::int64_t taps = a.weight[0], channels = a.out[1];
  for (const Sequence& s : host::sequences(a.batch)) {
    for_rows(s.rows, [&](std::int64_t r) {
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::int64_t j = 0; j < taps; ++j) sum += row(a.weight, j)[c] * input_before(a, s, r, taps - 1 - j, c);
        if (a.bias) sum += a.bias.as<const float>()[c];
        row(a.out, s.first_row + r)[c] = static_cast<float>(apply(a.act, sum));
      }
    });
    auto* kept = reinterpret_cast<float*>(s.next + a.at);  // may be where the state is: the oldest are read first
    for (std::int64_t i = 0; i < taps - 1; ++i) {
      for (std::int64_t c = 0; c < channels; ++c) {
        kept[i * channels + c] = static_cast<float>(input_before(a, s, s.rows - 1, taps - 2 - i, c));
      }
    }
  }
}

const float* head_of(const View& v, std::int64_t r, std::int64_t head) { return row(v, r) + head * v.step(1); }

// All tokens of a sequence, of one head.
void recur_head(const Recur& a, const Sequence& s, std::int64_t head) {
  const std::int64_t keys = a.k[2], values = a.v[2], key_head = head / (a.v[1] / a.k[1]);
  const auto number = [&](const View& v, double absent = 0) { return v ? v.as<const float>()[head] : absent; };
  const std::size_t at = a.at + static_cast<std::size_t>(head * keys * values) * sizeof(float);
  auto* state = reinterpret_cast<float*>(s.next + at);
  if (s.state == nullptr) {
    std::fill_n(state, keys * values, 0.f);
  } else if (s.state != s.next) {
    std::copy_n(reinterpret_cast<const float*>(s.state + at), keys * values, state);
  }
  for (std::int64_t r = s.first_row; r < s.first_row + s.rows; ++r) {
    const float *q = head_of(a.q, r, key_head), *k = head_of(a.k, r, key_head), *v = head_of(a.v, r, head);
    const double x = static_cast<double>(row(a.a, r)[head]) + number(a.bias);
    const double softplus = std::max(x, 0.) + std::log1p(std::exp(-std::abs(x)));
    const double step = std::clamp(softplus, static_cast<double>(a.least), static_cast<double>(a.most));
    const double decay = std::exp(-number(a.rate) * step);
    for (std::int64_t j = 0; j < values; ++j) {
      double u = step * v[j];
      if (a.b) {
        double found = 0;
        for (std::int64_t i = 0; i < keys; ++i) found += k[i] * (decay * state[i * values + j]);
        u = apply(Act::sigmoid, row(a.b, r)[head]) * (v[j] - found);
      }
      double sum = number(a.skip) * v[j];
      for (std::int64_t i = 0; i < keys; ++i) {
        float& kept = state[i * values + j];
        kept = static_cast<float>(decay * kept + k[i] * u);
        sum += static_cast<double>(q[i]) * kept;
      }
      const_cast<float*>(head_of(a.out, r, head))[j] = static_cast<float>(sum);
    }
  }
}

void recur(Device& device, const Recur& a) noexcept {
  for (const Sequence& s : host::sequences(a.batch)) {
    spread(device, a.v[1], [&](std::int64_t head) { recur_head(a, s, head); });
  }
}

double xielu(const float* parameters, double x) {
  const double p = parameters[0], n = parameters[1], b = parameters[2], e = parameters[3];
  return x > 0 ? p * x * x + b * x : n * (std::expm1(std::min(x, e)) - x) + b * x;
}

void gate(Device&, const Gate& a) noexcept {
  const bool grouped = a.out.rank == 3;
  const std::int64_t n = a.out[a.out.rank - 1], groups = grouped ? a.out[1] : 1;
  for_rows(a.out[0] * groups, [&](std::int64_t i) {
    const auto part = [&](const View& v) { return row(v, i / groups) + (grouped ? i % groups * v.step(1) : 0); };
    const float *xs = part(a.x), *ups = a.up ? part(a.up) : nullptr;
    float* out = part(a.out);
    const double limit = a.limit;
    for (std::int64_t j = 0; j < n; ++j) {
      double x = xs[a.neighbours ? 2 * j : j], up = a.neighbours ? xs[2 * j + 1] : ups != nullptr ? ups[j] : 1;
      if (limit > 0) x = std::min(x, limit), up = 1 + std::clamp(up, -limit, limit);
      const double y = a.xielu ? xielu(a.xielu.as<const float>(), x) : apply(a.act, x);
      out[j] = static_cast<float>(y * up);
    }
  });
}

void scale(Device&, const Scale& a) noexcept {
  for_rows(a.out[0], [&](std::int64_t r) {
    for (std::int64_t i = 0; i < a.out[1]; ++i) {
      const double x = static_cast<double>(a.factor) * row(a.x, r)[i];
      row(a.out, r)[i] = static_cast<float>(a.cap > 0 ? a.cap * std::tanh(x / a.cap) : x);
    }
  });
}

void add(Device&, const Add& a) noexcept {
  for_rows(a.out[0], [&](std::int64_t r) {
    for (std::int64_t i = 0; i < a.out[1]; ++i) {
      row(a.out, r)[i] = static_cast<float>(row(a.add, r)[i] + static_cast<double>(a.scale) * row(a.x, r)[i]);
    }
  });
}

void route(Device&, const Route& a) noexcept {
  for_rows(a.scores[0], [&](std::int64_t r) { host::choose_experts(a, r); });
  host::group_by_expert(a);
}

void expert_linear(Device& device, const ExpertLinear& a) noexcept {
  for (std::int64_t e = 0; e + 1 < a.starts[0]; ++e) linear(device, a.of(e));
}

void mix(Device&, const Mix& a) noexcept {
  for_rows(a.out[0], [&](std::int64_t r) {
    for (std::int64_t i = 0; i < a.out[1]; ++i) {
      double sum = 0;
      for (std::int64_t c = 0; c < a.weights[1]; ++c) {
        const std::int64_t place = a.places ? a.places.as<const std::int32_t>()[r * a.places.step(0) + c] : r;
        sum += static_cast<double>(row(a.weights, r)[c]) * row(a.x, place)[i];
      }
      row(a.out, r)[i] = static_cast<float>(a.add ? row(a.add, r)[i] + sum : sum);
    }
  });
}

void pick(Device&, const Pick& a) noexcept {
  for_rows(a.out[0], [&](std::int64_t r) {
    const float* x = row(a.x, a.rows.as<const std::int32_t>()[r]);
    std::copy(x, x + a.out[1], row(a.out, r));
  });
}

void convert(Device& device, const Convert& a) noexcept {
  spread(device, a.from[0], [&](std::int64_t r) {
    for (std::int64_t c = 0; c < a.from[1]; ++c) {
      const double x = load(a.from.data, a.from.dtype, r * a.from.step(0) + c);
      const std::int64_t to = a.transpose ? c * a.to.step(0) + r : r * a.to.step(0) + c;
      store_element(a.to.data, a.to.dtype, to, static_cast<float>(x));
    }
  });
}

void encode(Device& device, const Encode& a) noexcept {
  spread(device, a.to.units(), [&](std::int64_t unit) { quant::encode(a.from, a.to, unit, 1); });
}

void decode(Device& device, const Decode& a) noexcept {
  spread(device, a.from.out, [&](std::int64_t o) {
    std::vector<float> values(static_cast<std::size_t>(a.from.in));
    quant::decode(a.from, o, 0, values);
    for (std::int64_t i = 0; i < a.from.in; ++i) {
      store_element(a.to.data, a.to.dtype, o * a.to.step(0) + i, values[static_cast<std::size_t>(i)]);
    }
  });
}

std::unique_ptr<Device> open(int threads) { return std::make_unique<host::Host>("naive", threads); }

}  // namespace

const Ops& ops() {
  static const Ops table{.name = "naive",
                         .places_outputs = true,
                         .rounds_as_ggml = true,
                         .open = open,
                         .memory = host::kMemory,
                         .linear_scratch = host::linear_scratch,
                         .embed = embed,
                         .norm = norm,
                         .linear = linear,
                         .angles = angles,
                         .rotate = rotate,
                         .append = append,
                         .attend = attend,
                         .convolve = convolve,
                         .recur = recur,
                         .gate = gate,
                         .scale = scale,
                         .add = add,
                         .route = route,
                         .expert_linear = expert_linear,
                         .mix = mix,
                         .pick = pick,
                         .convert = convert,
                         .encode = encode,
                         .decode = decode};
  return table;
}

}  // namespace pkv::kernels::naive
