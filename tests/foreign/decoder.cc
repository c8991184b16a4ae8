#include "foreign/decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace pkv::foreign {

// By Veltkamp's splitting; below the normal numbers in steps of the least one.
double rounded(double x, int bits, int least_exponent) {
  if (!std::isfinite(x)) return x;
  const double least = std::ldexp(1.0, least_exponent);
  if (std::abs(x) < least) {
    const double step = std::ldexp(least, 1 - bits);
    return std::nearbyint(x / step) * step;
  }
  const double c = x * (static_cast<double>(std::int64_t{1} << (53 - bits)) + 1);
  return c - (c - x);
}

double Format::round(double x) const {
  if (bits >= 53) return x;
  if (bits == 24) return static_cast<float>(x);
  return rounded(x, bits, least_exponent);
}

Format format_of(const std::string& name) {
  if (name == "fp64") return {name, 53, -1022, true};
  if (name == "bf16") return {name, 8, -126, false};
  if (name == "fp16") return {name, 11, -14, false};
  return {"fp32", 24, -126, false};
}

Format wider(const Format& format) { return format_of(format.name == "fp32" ? "fp64" : "fp32"); }

Line Line::copy() const {
  Line line{length, {}};
  for (const auto& layer : layers) line.layers.push_back(std::make_shared<Kept>(*layer));
  return line;
}

Program::Program(const Shape& shape, const std::string& format, Fault fault)
    : shape_(shape), format_(format_of(format)), fault_(std::move(fault)) {
  draw();
}

Program Program::in_wider_format() const {
  Program other = *this;
  other.format_ = wider(format_);
  other.buffer_.reset();
  other.older_.reset();
  other.prefixes_.clear();
  return other;
}

void Program::draw() {
  std::mt19937 dice(shape_.seed);
  std::normal_distribution<double> normal;
  const auto drawn = [&](int rows, int columns, double gain) {
    std::vector<double> w(static_cast<std::size_t>(rows) * columns);
    for (double& x : w) x = kept(gain * normal(dice) / std::sqrt(columns));
    return w;
  };
  const auto weight = [&](int n) {
    std::vector<double> w(static_cast<std::size_t>(n));
    for (double& x : w) x = kept(1 + 0.1 * normal(dice));
    return w;
  };
  const int d = shape_.width, q = shape_.heads * shape_.head_dim, kv = shape_.kv_heads * shape_.head_dim;
  w_.embedding = drawn(shape_.vocab, d, std::sqrt(d));
  w_.norm = weight(d);
  w_.head = drawn(shape_.vocab, d, 3);
  for (int l = 0; l < shape_.layers; ++l) {
    Layer layer;
    layer.norm = weight(d), layer.mlp_norm = weight(d);
    layer.q = drawn(q, d, shape_.sharpness), layer.k = drawn(kv, d, shape_.sharpness), layer.v = drawn(kv, d, 1.5);
    layer.o = drawn(d, std::max(q, d), 1.5);
    layer.u = drawn(d, d, 1.5), layer.g = drawn(d, d, 1);
    layer.router = drawn(std::max(shape_.experts, 1), d, 1);
    for (int e = 0; e < std::max(shape_.experts, 1); ++e) {
      layer.gate.push_back(drawn(shape_.inner, d, 1.5));
      layer.up.push_back(drawn(shape_.inner, d, 1.5));
      layer.down.push_back(drawn(d, shape_.inner, 1));
    }
    w_.layers.push_back(std::move(layer));
  }
}

// One row is summed in four strands, several in eight: two kernels, as programs have them.
template <class T, int strands>
double summed(const double* a, const double* b, int n) {
  T sums[strands] = {};
  int i = 0;
  for (; i + strands <= n; i += strands) {
    for (int s = 0; s < strands; ++s) sums[s] += static_cast<T>(a[i + s]) * static_cast<T>(b[i + s]);
  }
  for (; i < n; ++i) sums[0] += static_cast<T>(a[i]) * static_cast<T>(b[i]);
  T sum = 0;
  for (const T s : sums) sum += s;
  return sum;
}

double Program::dot(const double* a, const double* b, int n, int rows) const {
  if (format_.sums_in_double) return rows > 1 ? summed<double, 8>(a, b, n) : summed<double, 4>(a, b, n);
  return rows > 1 ? summed<float, 8>(a, b, n) : summed<float, 4>(a, b, n);
}

// x [rows, n] by w [out, n]
std::vector<double> Program::times(const std::vector<double>& w, const std::vector<double>& x, int rows,
                                   int out) const {
  const int n = static_cast<int>(x.size()) / rows;
  std::vector<double> y(static_cast<std::size_t>(rows) * out);
  for (int r = 0; r < rows; ++r) {
    for (int o = 0; o < out; ++o) y[r * out + o] = kept(dot(&w[static_cast<std::size_t>(o) * n], &x[r * n], n, rows));
  }
  return y;
}

std::vector<double> Program::normed(const std::vector<double>& x, const std::vector<double>& weight, int rows) const {
  const int n = static_cast<int>(weight.size());
  std::vector<double> y(x.size());
  for (int r = 0; r < rows; ++r) {
    const double square = dot(&x[r * n], &x[r * n], n, rows) / n;
    const double by = 1 / std::sqrt(square + 1e-6);
    for (int i = 0; i < n; ++i) y[r * n + i] = kept(kept(x[r * n + i] * by) * weight[i]);
  }
  return y;
}

void Program::rotate(std::vector<double>& x, int heads, int row, double position, const Call& call,
                     bool neighbours) const {
  const int d = shape_.head_dim, half = d / 2;
  const double base = 10000 * (fault_.rotary_base ? fault_.rotary_base(call) : 1);
  for (int h = 0; h < heads; ++h) {
    double* head = &x[(static_cast<std::size_t>(row) * heads + h) * d];
    for (int i = 0; i < half; ++i) {
      const double angle = position * std::pow(base, -2.0 * i / d);
      double &a = neighbours ? head[2 * i] : head[i], &b = neighbours ? head[2 * i + 1] : head[i + half];
      const double c = kept(std::cos(angle)), s = kept(std::sin(angle)), first = a, second = b;
      a = kept(first * c - second * s);
      b = kept(second * c + first * s);
    }
  }
}

std::vector<double> Program::attend(const Layer& w, int layer, const std::vector<double>& h, Line& line,
                                    const Call& call, const Handed& handed) {
  const int d = shape_.head_dim, m = call.rows, kv = shape_.kv_heads * d, wide = shape_.heads * d;
  std::vector<double> q = times(w.q, h, m, wide), k = times(w.k, h, m, kv), v = times(w.v, h, m, kv);
  const bool neighbours = fault_.rotary_interleaved && call.continues;
  for (int r = 0; r < m; ++r) {
    int position = call.past + r + call.off;
    if (fault_.position) position = fault_.position(call, r);
    if (handed.position && fault_.takes_positions) position = handed.position(call.past + r);
    const auto at = [&](bool query) {
      return fault_.angle_position ? fault_.angle_position(call, query, position) : static_cast<double>(position);
    };
    rotate(q, shape_.heads, r, at(true), call, neighbours);
    rotate(k, shape_.kv_heads, r, at(false), call, neighbours);
  }
  // The new keys are kept as they are; what is read of the past may be something else.
  const std::size_t from = static_cast<std::size_t>(call.past) * kv, end = from + k.size();
  Kept& kept_here = *line.layers[layer];
  for (auto [all, rows] : {std::pair{&kept_here.keys, &k}, {&kept_here.values, &v}}) {
    if (all->size() < end) all->resize(end);
    for (std::size_t i = 0; i < rows->size(); ++i) {
      const double x = (*rows)[i];
      (*all)[from + i] = fault_.format_of_past != nullptr ? fault_.format_of_past(x) : x;
    }
  }
  Kept read{{kept_here.keys.begin(), kept_here.keys.begin() + static_cast<std::ptrdiff_t>(from)},
            {kept_here.values.begin(), kept_here.values.begin() + static_cast<std::ptrdiff_t>(from)},
            {}};
  if (fault_.reads && call.continues) fault_.reads(call, layer, read);
  if (handed.start != nullptr && call.past > 0) read = handed.start->layers[layer];
  if (handed.start != nullptr && call.past == 0) {
    const auto first = [&](const std::vector<double>& all) {
      return std::vector<double>(all.begin(), all.begin() + handed.start->rows * kv);
    };
    handed.start->layers.push_back({first(k), first(v), {}});
  }
  const int before = static_cast<int>(read.keys.size()) / kv;  // faults may add and take away
  read.keys.insert(read.keys.end(), k.begin(), k.end());
  read.values.insert(read.values.end(), v.begin(), v.end());

  if (handed.edit) handed.edit(layer, read.keys, read.values);

  std::vector<double> out(static_cast<std::size_t>(m) * wide);
  const int n = before + m, shared = shape_.heads / shape_.kv_heads;
  const double scale = (fault_.scale && call.continues ? fault_.scale(call) : 1) / std::sqrt(d);
  std::vector<double> scores(static_cast<std::size_t>(n));
  for (int r = 0; r < m; ++r) {
    for (int head = 0; head < shape_.heads; ++head) {
      int group = fault_.group && call.continues ? fault_.group(call, head) : head / shared;
      if (handed.group) group = handed.group(call.past + r, head);
      const double scaled = handed.scale ? scale * handed.scale(call.past + r) : scale;
      double most = -std::numeric_limits<double>::infinity();
      for (int j = 0; j < n; ++j) {
        const int window = shape_.window(layer), place = before + r;
        bool sees = j <= place && (window == 0 || j > place - window);
        if (handed.sees && fault_.takes_masks) sees = handed.sees(layer, head, call.past + r, j);
        if (fault_.sees) sees = fault_.sees(call, layer, head, r, j, sees);
        const double* key = &read.keys[static_cast<std::size_t>(j) * kv + group * d];
        scores[j] =
            sees ? kept(dot(&q[r * wide + head * d], key, d, m) * scaled) : -std::numeric_limits<double>::infinity();
        most = std::max(most, scores[j]);
      }
      double sum = 0;
      for (double& s : scores) sum += s = std::isinf(s) ? 0 : std::exp(s - most);
      for (double& s : scores) s = sum > 0 ? kept(s / sum) : 0;
      for (int i = 0; i < d; ++i) {
        double value = 0;
        float narrow = 0;
        for (int j = 0; j < n; ++j) {
          const double x = read.values[static_cast<std::size_t>(j) * kv + group * d + i];
          value += scores[j] * x;
          narrow += static_cast<float>(scores[j]) * static_cast<float>(x);
        }
        out[r * wide + head * d + i] = kept(format_.sums_in_double ? value : narrow);
      }
    }
    if (fault_.attended && call.continues) {
      std::vector<double> row(out.begin() + r * wide, out.begin() + (r + 1) * wide);
      fault_.attended(call, layer, row, r);
      std::copy(row.begin(), row.end(), out.begin() + r * wide);
    }
  }
  return times(w.o, out, m, shape_.width);
}

std::vector<double> Program::recur(const Layer& w, int layer, const std::vector<double>& h, Line& line,
                                   const Call& call) {
  const int d = shape_.width, m = call.rows;
  const std::vector<double> u = times(w.u, h, m, d), g = times(w.g, h, m, d);
  std::vector<double>& state = fault_.state_in_module ? states_[layer] : line.layers[layer]->state;
  if (state.empty() || (fault_.forgets_state && call.continues && fault_.forgets_state(call, layer)))
    state.assign(d, 0);
  std::vector<double> out(static_cast<std::size_t>(m) * d);
  for (int r = 0; r < m; ++r) {
    for (int i = 0; i < d; ++i) {
      const double stays = kept(1 / (1 + std::exp(-g[r * d + i] - 1)));
      state[i] = kept(stays * state[i] + (1 - stays) * u[r * d + i]);
      out[r * d + i] = kept(state[i] * (1 + u[r * d + i]));
    }
  }
  return times(w.o, out, m, d);
}

std::vector<double> Program::mlp(const Layer& w, int layer, const std::vector<double>& h, const Call& call,
                                 double& gap) {
  const int m = call.rows, d = shape_.width;
  const auto expert = [&](int e, const std::vector<double>& x, int rows, int first) {
    std::vector<double> gate = times(w.gate[e], x, rows, shape_.inner), up = times(w.up[e], x, rows, shape_.inner);
    for (std::size_t i = 0; i < gate.size(); ++i) {
      double y = kept(gate[i] / (1 + std::exp(-gate[i])));
      if (fault_.gated) y = kept(fault_.gated(call, layer, first + static_cast<int>(i) / shape_.inner, y));
      gate[i] = kept(y * up[i]);
    }
    return times(w.down[e], gate, rows, d);
  };
  if (shape_.experts == 0) return expert(0, h, m, 0);
  const std::vector<double> routes = times(w.router, h, m, shape_.experts);
  std::vector<double> out(h.size(), 0);
  std::vector<int> taken(static_cast<std::size_t>(shape_.experts), 0);
  for (int r = 0; r < m; ++r) {
    std::vector<int> order(static_cast<std::size_t>(shape_.experts));
    std::iota(order.begin(), order.end(), 0);
    const double* route = &routes[static_cast<std::size_t>(r) * shape_.experts];
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return route[a] > route[b]; });
    const int used = shape_.used_experts;
    gap = std::min(gap, route[order[used - 1]] - route[order[used]]);
    double sum = 0;
    for (int i = 0; i < used; ++i) sum += std::exp(route[order[i]] - route[order[0]]);
    const std::vector<double> row(h.begin() + r * d, h.begin() + (r + 1) * d);
    for (int i = 0; i < used; ++i) {
      const int e = order[i];
      if (fault_.most_of_expert && taken[e]++ >= fault_.most_of_expert(call, r)) continue;
      const double share = kept(std::exp(route[e] - route[order[0]]) / sum);
      const std::vector<double> y = expert(e, row, 1, r);
      for (int j = 0; j < d; ++j) out[r * d + j] = kept(out[r * d + j] + kept(share * y[j]));
    }
  }
  return out;
}

bool Program::rows_depend_on_call() const {
  return fault_.most_of_expert || fault_.outlier_columns_of_call || fault_.dropout > 0 ||
         std::ranges::any_of(shape_.recurrent, [](bool r) { return r; });
}

void Program::text(const Ids& ids, Line& line, Call call, const Handed& handed, std::vector<float>& logits,
                   std::vector<std::vector<float>>& hidden, double& gap) {
  const int known = handed.start != nullptr && !handed.start->layers.empty() ? handed.start->rows : 0;
  call.past += known, call.rows -= known;
  const int m = call.rows, d = shape_.width;
  std::vector<double> x(static_cast<std::size_t>(m) * d);
  for (int r = 0; r < m; ++r) {
    std::copy_n(w_.embedding.begin() + static_cast<std::ptrdiff_t>(ids[known + r]) * d, d, x.begin() + r * d);
  }
  const auto see = [&] { hidden.emplace_back(x.begin(), x.end()); };
  see();
  if (line.layers.empty()) {
    for (int l = 0; l < shape_.layers; ++l) line.layers.push_back(std::make_shared<Kept>());
  }
  states_.resize(static_cast<std::size_t>(shape_.layers));
  const auto add = [&](const std::vector<double>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = kept(x[i] + y[i]);
  };
  for (int l = 0; l < shape_.layers; ++l) {
    const Layer& w = w_.layers[l];
    std::vector<double> h = normed(x, w.norm, m);
    if (fault_.outlier_columns_of_call) {  // a column with an outlier anywhere is kept, the others lose bits
      for (int i = 0; i < d; ++i) {
        double largest = 0;
        for (int r = 0; r < m; ++r) largest = std::max(largest, std::abs(h[r * d + i]));
        for (int r = 0; r < m && largest < 1.8; ++r) h[r * d + i] = rounded(h[r * d + i], 5, -20);
      }
    }
    add(shape_.is_recurrent(l) ? recur(w, l, h, line, call) : attend(w, l, h, line, call, handed));
    std::vector<double> branch = mlp(w, l, normed(x, w.mlp_norm, m), call, gap);
    for (double& y : branch) {
      if (fault_.dropout > 0) {
        const bool dropped = std::uniform_real_distribution<double>()(dice_) < fault_.dropout;
        y = dropped ? 0 : y / (1 - fault_.dropout);
      }
    }
    add(branch);
    see();
  }
  const std::vector<double> y = times(w_.head, normed(x, w_.norm, m), m, shape_.vocab);
  logits.assign(y.begin(), y.end());
  for (int r = 0; r < m && fault_.logits; ++r) {
    std::vector<double> row(y.begin() + r * shape_.vocab, y.begin() + (r + 1) * shape_.vocab);
    fault_.logits(call, row, r);
    for (int i = 0; i < shape_.vocab; ++i) logits[r * shape_.vocab + i] = static_cast<float>(kept(row[i]));
  }
  line.length = call.length();
}

Out Program::call(const std::vector<Ids>& texts, PastPtr past, const Handed& handed) {
  const bool continues = past != nullptr && !past->lines.empty();
  if (!continues) {
    if (fault_.writes_into_older && older_.lock() != nullptr) {
      for (Line& line : older_.lock()->lines) {
        for (const auto& layer : line.layers) {
          const std::size_t kv = static_cast<std::size_t>(shape_.kv_heads) * shape_.head_dim;
          if (layer->keys.size() < kv) continue;
          for (auto* all : {&layer->keys, &layer->values})
            std::fill(all->end() - static_cast<std::ptrdiff_t>(kv), all->end(), 0.5);
        }
      }
    }
    past = std::make_shared<Past>();
    if (fault_.one_buffer) {
      if (buffer_ == nullptr) buffer_ = past;
      past = buffer_;
      past->lines.resize(std::max(past->lines.size(), texts.size()));
      past->lines.resize(texts.size());
      for (Line& line : past->lines) line.length = 0;
    }
    past->lines.resize(texts.size());
    states_.assign(static_cast<std::size_t>(shape_.layers), {});
    older_ = past;
  }
  if (continues && fault_.swaps_lines && past->lines.size() == 2) std::swap(past->lines[0], past->lines[1]);

  Out out;
  out.logits.resize(texts.size());
  out.hidden.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Line& line = past->lines[i];
    Call call{.past = static_cast<int>(line.length),
              .rows = static_cast<int>(texts[i].size()),
              .continues = continues,
              .number = continued_,
              .format = &format_};
    call.off = cropped_.lock() == past ? fault_.off_after_crop : 0;
    if (continues && fault_.past_not_read) {
      Line alone;
      call.past = 0, call.continues = false;
      text(texts[i], alone, call, handed, out.logits[i], out.hidden[i], out.least_gap);
      line.length += call.rows;
    } else {
      text(texts[i], line, call, handed, out.logits[i], out.hidden[i], out.least_gap);
    }
  }
  if (past->said_length >= 0) past->said_length += std::ssize(texts[0]);
  if (continues) continued_++;
  if (!continues && fault_.prefix_by_length) {
    const auto found = std::ranges::find(prefixes_, texts[0].size(), &std::pair<std::size_t, Past>::first);
    if (found == prefixes_.end()) {
      Past stored;
      for (const Line& line : past->lines) stored.lines.push_back(line.copy());
      prefixes_.emplace_back(texts[0].size(), std::move(stored));
    } else if (found->second.lines.size() == past->lines.size()) {
      for (std::size_t i = 0; i < past->lines.size(); ++i) past->lines[i] = found->second.lines[i].copy();
    }
  }
  out.past = fault_.keeps_nothing ? nullptr : past;
  return out;
}

PastPtr Program::copy(const PastPtr& past) const {
  auto other = std::make_shared<Past>(*past);
  if (fault_.copies_share) return other;
  for (Line& line : other->lines) line = line.copy();
  return other;
}

void Program::reorder(const PastPtr& past) const {
  if (!fault_.keeps_order && past->lines.size() == 2) std::swap(past->lines[0], past->lines[1]);
}

bool Program::crop(const PastPtr& cropped, std::int64_t length) {
  Past& past = *cropped;
  if (std::ranges::any_of(shape_.recurrent, [](bool r) { return r; })) return false;
  if (fault_.crop_keeps_all) {
    past.said_length = length;  // what it says is right; what it holds is not
    return true;
  }
  for (Line& line : past.lines) line.length = length;
  cropped_ = cropped;
  return true;
}

}  // namespace pkv::foreign
