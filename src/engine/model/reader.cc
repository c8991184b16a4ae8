#include "engine/model/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "engine/kernels/call.h"
#include "engine/model/reader_values.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

void require_shape(const containers::Tensor& t, std::span<const std::int64_t> shape) {
  if (std::ranges::equal(shape, t.shape)) return;
  fail_load({.what = "tensor has the wrong shape",
             .where = fmt::format("{}: tensor '{}'", t.file->path().string(), t.name),
             .expected = shape_text(shape) + ", by config.json",
             .found = shape_text(t.shape)});
}

}  // namespace

const hf::Config& text_config(const hf::Config& config) {
  return config.has("text_config") ? config.child("text_config") : config;
}

Reader::Reader(const Source& source, const kernels::Backend* backend, const LoadOptions& options)
    : source_(source), backend_(backend), options_(options) {
  inventory_.as_stored = !options.dtype;
  for (const containers::Tensor& t : source.tensors()) total_ += static_cast<std::int64_t>(t.data.size());
}

void Reader::progress(const containers::Tensor& t) {
  done_ += static_cast<std::int64_t>(t.data.size());
  if (backend_ != nullptr && options_.progress) options_.progress(std::min(done_, total_), total_);
}

// With the prefix once, twice and without it, each as files of TensorFlow's days have it too; in the order of names.
std::vector<std::string> Reader::names_of(std::string_view name) const {
  static constexpr std::array<std::array<std::string_view, 2>, 2> kOld{
      {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}}};
  std::vector<std::string> names{std::string(name)};
  for (const auto& [now, once] : kOld) {
    if (name.ends_with(now)) names.push_back(std::string(name.substr(0, name.size() - now.size())) + std::string(once));
  }
  if (!prefix_.empty()) {
    const std::size_t plain = names.size();
    for (std::size_t i = 0; i < 2 * plain; ++i) names.push_back(prefix_ + names[i]);
  }
  std::ranges::sort(names);
  return names;
}

const containers::Tensor* Reader::find(std::string_view name) const {
  for (const std::string& candidate : names_of(name)) {
    if (const containers::Tensor* t = source_.find(candidate)) return t;
  }
  return nullptr;
}

const containers::Other* Reader::find_other(std::string_view name) const {
  const std::span<const containers::Other> others = source_.others();
  for (const std::string& candidate : names_of(name)) {
    const auto at = std::ranges::lower_bound(others, candidate, {}, &containers::Other::name);
    if (at != others.end() && at->name == candidate) return &*at;
  }
  return nullptr;
}

std::optional<StoredMatrix> Reader::find_stored(const std::string& name, std::int64_t out, std::int64_t in) const {
  return stored_matrix([this](const std::string& n) { return find(n); }, name, out, in,
                       [this](const std::string& n) { return find_other(n); });
}

// The same tensor under other names: marked as used, and a word when it is not the same.
void Reader::compare_others(const std::string& name, const containers::Tensor& used) {
  for (const std::string& candidate : names_of(name)) {
    const containers::Tensor* t = source_.find(candidate);
    if (t == nullptr || t == &used || !used_.insert(t->name).second || same_values(*t, used)) continue;
    notes_.push_back(
        fmt::format("tensors '{}' and '{}' are one to this architecture, but have other values: the first is used, as "
                    "transformers does",
                    used.name, t->name));
  }
}

const containers::Tensor& Reader::expect(const std::string& name, std::span<const std::int64_t> shape) {
  const containers::Tensor* t = find(name);
  if (t == nullptr) fail_missing(name, shape);
  require_shape(*t, shape);
  if (t->format || (!is_float(t->dtype) && t->dtype != DType::f64)) fail_dtype(*t);
  if (t->dtype == DType::f64 && !std::exchange(noted_f64_, true)) {
    notes_.push_back("tensors in fp64 are computed with in fp32, to which they are rounded");
  }
  if (t->dtype == DType::f64) note_beyond(*t, DType::f32);
  if (!prefix_.empty() && t->name.starts_with(prefix_ + prefix_) && !std::exchange(noted_doubled_, true)) {
    notes_.push_back(fmt::format(
        "tensor names begin with '{0}' twice ('{1}'), which is read as once, as by transformers", prefix_, t->name));
  }
  if (used_.insert(t->name).second) inventory_.parameters += t->view().elements();
  compare_others(name, *t);
  return *t;
}

void Reader::count(const View& matrix) {
  inventory_.bytes += matrix.bytes();
  if (!any_plain_ || size_of(matrix.dtype) > size_of(inventory_.dtype)) inventory_.dtype = matrix.dtype;
  any_plain_ = true;
}

void Reader::count(const quant::Matrix& m) {
  inventory_.bytes += m.bytes();
  inventory_.formats[m.format] += m.bytes();
  inventory_.quantized =
      std::ranges::max_element(inventory_.formats, {}, [](const auto& each) { return each.second; })->first;
  // Nothing else says what keys and values are kept in.
  if (m.traits().scaling == quant::Scaling::inside && !any_plain_) inventory_.dtype = DType::f16;
  if (m.traits().has_blocks()) inventory_.block = std::max(inventory_.block, m.block);
}

Products Reader::product_of(const Projection& l) {
  if (l.quantized) return {.weights = l.quantized.elements(), .bytes = l.quantized.bytes()};
  return {.weights = l.weight.elements(), .bytes = l.weight.bytes()};
}

void Reader::count_product(const Projection& l) {
  inventory_.products.weights += product_of(l).weights;
  inventory_.products.bytes += product_of(l).bytes;
}

View Reader::keep(const Buffer& host) {
  if (backend_ == nullptr) return {};
  const View view = host.view();
  memory_.emplace_back(*backend_, view.bytes());
  backend_->upload(memory_.back().data(), view.data, view.bytes());
  View kept = view;
  kept.data = memory_.back().data();
  return kept;
}

// `stored`: what is to be undone of how it lies in its file.
View Reader::keep_matrix(const containers::Tensor& t, bool transpose, const Arrangement* stored) {
  const DType dtype = options_.dtype.value_or(dtype_to_compute_with(t));
  progress(t);
  View kept(t.data.data(), dtype, {t.shape[transpose ? 1 : 0], t.shape[transpose ? 0 : 1]});
  // A table that is wide in any file says nothing of what keys and values should be kept in.
  if (stored != nullptr && stored->widened) {
    inventory_.bytes += kept.bytes();
  } else {
    count(kept);
  }
  if (backend_ == nullptr) return kept;
  Buffer copy;  // lives until the values are converted
  View placed = values_of(t, stored, copy);
  kernels::Memory memory = kernels::place(*backend_, placed);
  if (transpose || dtype != t.dtype) {
    kernels::Memory converted(*backend_, kept.bytes());
    kept.data = converted.data();
    if (dtype == DType::f16) note_beyond(t, DType::f16);
    call(*backend_, &kernels::Ops::convert, {.from = placed, .to = kept, .transpose = transpose});
    placed = kept;
    memory = std::move(converted);
  }
  if (memory && t.file) t.file->done_with(t.data);
  if (!memory && copy) {  // rows were moved: what operations read must outlive this
    memory = kernels::Memory(*backend_, placed.bytes());
    backend_->upload(memory.data(), placed.data, placed.bytes());
    placed.data = memory.data();
    if (t.file) t.file->done_with(t.data);
  } else if (!memory && options_.copied) {
    this->copy(placed);
    if (t.file) t.file->done_with(t.data);
  }
  return keep_packed(placed, std::move(memory));
}

// Into memory of the backend's, many matrices beside each other: small ones alone would get no large pages.
void Reader::copy(View& view) {
  constexpr std::size_t kRoom = std::size_t{64} << 20, kLine = 64;
  const std::size_t bytes = (view.bytes() + kLine - 1) / kLine * kLine;
  if (bytes > room_left_) {
    room_left_ = std::max(kRoom, bytes);
    memory_.emplace_back(*backend_, room_left_);
    room_ = static_cast<std::byte*>(memory_.back().data());
  }
  backend_->upload(room_, view.data, view.bytes());
  view.data = room_;
  room_ += bytes;
  room_left_ -= bytes;
}

// A matrix as operations read it, and the memory that it lies in until then, if that is the backend's.
View Reader::keep_packed(View matrix, kernels::Memory memory) {
  if (kernels::Memory packed = kernels::pack(*backend_, matrix)) memory = std::move(packed);
  if (memory) memory_.push_back(std::move(memory));
  return matrix;
}

void Reader::note_beyond(const containers::Tensor& t, DType dtype) {
  if (backend_ == nullptr) return;
  const std::int64_t lost = count_beyond(t, dtype);
  if (lost == 0) return;
  notes_.push_back(fmt::format("tensor '{}': {} values are too large for {} and became infinite{}", t.name, lost,
                               name_of(dtype), dtype == DType::f16 ? "; bf16 holds them" : ""));
}

View Reader::matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
  return keep_matrix(expect(name, std::array{rows, columns}), false);
}

Buffer Reader::wide_vector(const std::string& name, std::int64_t size) {
  const containers::Tensor& t = expect(name, std::array{size});
  Buffer wide(DType::f32, {size});
  widen(t, wide.span<float>());
  return wide;
}

void Reader::widen(const containers::Tensor& t, std::span<float> to) const {
  if (backend_ == nullptr) return;
  Buffer narrow;
  const View values = values_of(t, arrangement(t), narrow);
  load_elements(values.data, values.dtype, 0, to);
}

View Reader::vector(const std::string& name, std::int64_t size) { return keep(wide_vector(name, size)); }

View Reader::vector(const std::string& name, const std::string& twin, std::int64_t size, bool tied) {
  const containers::Tensor *own = find(name), *other = find(twin);
  if (own == nullptr && other == nullptr) fail_missing(tied ? twin : name, std::array{size});
  if (own == nullptr) {
    if (!tied) {
      notes_.push_back(
          fmt::format("tensor '{}' is missing, and config.json says that it is not tied: '{}' is used; "
                      "transformers 5 would take zeros",
                      name, other->name));
    }
    return vector(twin, size);
  }
  const View kept = vector(name, size);
  if (other != nullptr && other != own) {
    expect(twin, std::array{size});
    inventory_.parameters -= size;
    if (tied && !same_values(*own, *other)) note_untied(*own, *other);
  }
  return kept;
}

float Reader::number(const std::string& name, std::optional<float> absent) {
  const containers::Tensor* t = find(name);
  if (t == nullptr && absent) return *absent;
  float x = 0;
  if (t != nullptr && t->shape.empty()) {
    used_.insert(t->name);
    widen(*t, {&x, 1});
  } else {
    widen(expect(name, std::array<std::int64_t, 1>{1}), {&x, 1});
  }
  return x;
}

View Reader::constants(const std::vector<float>& values) {
  if (backend_ == nullptr) return {};
  Buffer host(DType::f32, {static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), host.span<float>().begin());
  return keep(host);
}

Norm Reader::norm(const std::string& name, std::int64_t width, double eps, bool bias) {
  return {.weight = vector(name + ".weight", width),
          .bias = bias ? vector(name + ".bias", width) : View(),
          .eps = static_cast<float>(eps)};
}

Norm Reader::norm(const std::string& name, std::int64_t width, double eps, const NormForm& form) {
  Norm norm{.weight = {}, .bias = {}, .eps = static_cast<float>(eps), .centred = form.centred};
  if (form.weight) {
    Buffer weight = wide_vector(name + ".weight", width);
    const Arrangement* stored = arrangement_of(source_, *find(name + ".weight"));
    if (form.one_more && (stored == nullptr || !stored->one_added)) {
      for (float& x : weight.span<float>()) x += 1;
    }
    norm.weight = keep(weight);
  }
  if (form.bias) norm.bias = vector(name + ".bias", width);
  return norm;
}

Norm Reader::head_norm(const std::string& name, std::int64_t heads, std::int64_t head_dim, double eps, bool centred) {
  Buffer weight(DType::f32, {heads, head_dim});
  widen(expect(name, std::array{heads, head_dim}), weight.span<float>());
  return {.weight = keep(weight), .bias = {}, .eps = static_cast<float>(eps), .centred = centred};
}

Norm Reader::head_norm(const std::vector<std::string>& names, std::int64_t head_dim, double eps, bool centred) {
  Buffer weight(DType::f32, {std::ssize(names), head_dim});
  const auto dim = static_cast<std::size_t>(head_dim);
  for (std::size_t h = 0; h < names.size(); ++h) {
    widen(expect(names[h], std::array{head_dim}), weight.span<float>().subspan(h * dim, dim));
  }
  return {.weight = keep(weight), .bias = {}, .eps = static_cast<float>(eps), .centred = centred};
}

std::vector<float> Reader::values(const std::string& name, std::int64_t size) {
  std::vector<float> all(static_cast<std::size_t>(size));
  widen(expect(name, std::array{size}), all);
  return all;
}

Filter Reader::filter(const std::string& name, std::int64_t channels, std::int64_t taps, bool bias) {
  std::vector<float> stored(static_cast<std::size_t>(channels * taps));
  Buffer turned(DType::f32, {taps, channels});
  widen(expect(name + ".weight", std::array<std::int64_t, 3>{channels, 1, taps}), stored);
  for (std::int64_t i = 0; i < channels * taps; ++i) {
    const std::int64_t to = i % taps * channels + i / taps;
    turned.span<float>()[static_cast<std::size_t>(to)] = stored[static_cast<std::size_t>(i)];
  }
  View weight = keep(turned);
  if (!weight) weight = View(nullptr, DType::f32, {taps, channels});
  return {.weight = weight, .bias = bias ? vector(name + ".bias", channels) : View()};
}

Projection Reader::linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
  Projection linear = keep_linear(name + ".weight", out, in, false);
  count_product(linear);
  if (bias) linear.bias = vector(name + ".bias", out);
  return linear;
}

Projection Reader::conv1d(const std::string& name, std::int64_t in, std::int64_t out) {
  Projection linear = keep_linear(name + ".weight", out, in, true);
  count_product(linear);
  linear.bias = vector(name + ".bias", out);
  return linear;
}

void Reader::note_untied(const containers::Tensor& used, const containers::Tensor& other) {
  notes_.push_back(
      fmt::format("config.json ties '{}' to '{}', but the file holds other values for each: they are not tied, as in "
                  "transformers 5; tie_word_embeddings should be false",
                  used.name, other.name));
}

Projection Reader::embedding(const std::string& name, const std::string& output, Card& card, std::int64_t width) {
  output_ = output;
  inventory_.output = module_of(output);
  const containers::Tensor *own = find(name), *head = find(output);
  if (card.tied && own != nullptr && head != nullptr && head != own) {
    const bool quantised = !head->format && find_stored(output, card.vocab, width).has_value();
    if (!quantised) require_shape(*head, std::array{card.vocab, width});
    card.tied = !quantised && same_values(*own, *head);
    if (card.tied) used_.insert(head->name);
    if (!card.tied) note_untied(*head, *own);
  }
  tied_ = card.tied;
  embedding_ = table(tied_ && own == nullptr && head != nullptr ? output : name, card.vocab, width);
  return embedding_;
}

Projection Reader::unquantised(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
  Projection linear = table(name + ".weight", out, in);
  inventory_.plain.push_back(name);
  count_product(linear);
  if (bias) linear.bias = vector(name + ".bias", out);
  return linear;
}

View Reader::table_of_vectors(const std::string& name, std::int64_t rows, std::int64_t columns) {
  Buffer wide(DType::f32, {rows, columns});
  widen(expect(name, std::array{rows, columns}), wide.span<float>());
  return keep(wide);
}

// Never quantised anew.
Projection Reader::table(const std::string& name, std::int64_t rows, std::int64_t columns) {
  if (auto stored = find_stored(name, rows, columns)) return keep_stored(*std::move(stored), *find(name));
  return {.weight = matrix(name, rows, columns)};
}

Projection Reader::output() {
  const Projection output = tied_ ? embedding_ : table(output_, embedding_.out(), embedding_.in());
  inventory_.output_product = product_of(output);
  return output;
}

}  // namespace pkv::model
