#include "engine/model/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "engine/kernels/call.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

// Elements of `t`, taken as unsigned numbers, that lie in [least, least + count) without their sign.
template <class Bits>
std::int64_t count_bits(const containers::Tensor& t, Bits least, Bits count) {
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max() / 2;
  const std::int64_t n = t.view().elements();
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    found += static_cast<Bits>((load_element<Bits>(t.data.data(), i) & kMagnitude) - least) < count ? 1 : 0;
  }
  return found;
}

// Finite elements that fp16 has no number for: from 65520 on of fp32, from 65536 on of bf16.
std::int64_t beyond_f16(const containers::Tensor& t) {
  if (t.dtype == DType::f32) return count_bits<std::uint32_t>(t, 0x477ff000u, 0x7f800000u - 0x477ff000u);
  if (t.dtype == DType::bf16) return count_bits<std::uint16_t>(t, 0x4780u, 0x7f80u - 0x4780u);
  return 0;
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

const containers::Tensor* Reader::find(std::string_view name) const {
  if (const containers::Tensor* t = source_.find(prefix_ + std::string(name))) return t;
  return source_.find(name);
}

const containers::Tensor& Reader::expect(const std::string& name, std::initializer_list<std::int64_t> shape) {
  const containers::Tensor* t = find(name);
  if (t == nullptr) {
    fail_load({.what = "tensor is missing",
               .where = source_.path().string(),
               .expected = fmt::format("'{}{}' or '{}' of shape {}", prefix_, name, name, shape_text(shape)),
               .found = fmt::format("{} tensors, none of that name", source_.tensors().size()),
               .hint = fmt::format("pkv inspect {} --tensors", source_.path().string())});
  }
  if (!std::equal(shape.begin(), shape.end(), t->shape.begin(), t->shape.end())) {
    fail_load({.what = "tensor has the wrong shape",
               .where = fmt::format("{}: tensor '{}'", t->file->path().string(), t->name),
               .expected = shape_text(shape) + ", by config.json",
               .found = shape_text(t->shape)});
  }
  if (!is_float(t->dtype)) {
    fail_load({.what = "tensor has a number format that weights cannot have",
               .where = fmt::format("{}: tensor '{}'", t->file->path().string(), t->name),
               .expected = "F32, F16 or BF16",
               .found = std::string(safetensors_name(t->dtype))});
  }
  if (used_.insert(t->name).second) inventory_.parameters += t->view().elements();
  return *t;
}

void Reader::count(const View& matrix) {
  inventory_.bytes += matrix.bytes();
  if (!any_plain_ || size_of(matrix.dtype) > size_of(inventory_.dtype)) inventory_.dtype = matrix.dtype;
  any_plain_ = true;
}

void Reader::count(const quant::Matrix& m) {
  inventory_.bytes += m.bytes();
  inventory_.quantized = m.format;
  if (m.traits().has_blocks()) inventory_.block = std::max(inventory_.block, m.block);
}

void Reader::count_product(const Projection& l) {
  inventory_.products.weights += l.quantized ? l.quantized.elements() : l.weight.elements();
  inventory_.products.bytes += l.quantized ? l.quantized.bytes() : l.weight.bytes();
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

View Reader::keep_matrix(const containers::Tensor& t, bool transpose) {
  const View stored = t.view();
  const DType dtype = options_.dtype.value_or(t.dtype);
  progress(t);
  View kept(stored.data, dtype, {stored[transpose ? 1 : 0], stored[transpose ? 0 : 1]});
  count(kept);
  if (backend_ == nullptr) return kept;
  View placed = stored;
  kernels::Memory memory = kernels::place(*backend_, placed);
  if (transpose || dtype != t.dtype) {
    kernels::Memory converted(*backend_, kept.bytes());
    kept.data = converted.data();
    if (dtype == DType::f16) note_beyond_f16(t);
    call(*backend_, &kernels::Ops::convert, {.from = placed, .to = kept, .transpose = transpose});
    placed = kept;
    memory = std::move(converted);
  }
  if (memory) t.file->done_with(t.data);
  return keep_packed(placed, std::move(memory));
}

// A matrix as operations read it, and the memory that it lies in until then, if that is the backend's.
View Reader::keep_packed(View matrix, kernels::Memory memory) {
  if (kernels::Memory packed = kernels::pack(*backend_, matrix)) memory = std::move(packed);
  if (memory) memory_.push_back(std::move(memory));
  return matrix;
}

void Reader::note_beyond_f16(const containers::Tensor& t) {
  const std::int64_t lost = beyond_f16(t);
  if (lost == 0) return;
  notes_.push_back(
      fmt::format("tensor '{}': {} values are too large for fp16 and became infinite; bf16 holds them", t.name, lost));
}

View Reader::matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
  return keep_matrix(expect(name, {rows, columns}), false);
}

Buffer Reader::wide_vector(const std::string& name, std::int64_t size) {
  const containers::Tensor& t = expect(name, {size});
  Buffer wide(DType::f32, {size});
  widen(t, wide.span<float>());
  return wide;
}

void Reader::widen(const containers::Tensor& t, std::span<float> to) const {
  if (backend_ != nullptr) load_elements(t.data.data(), t.dtype, 0, to);
}

View Reader::vector(const std::string& name, std::int64_t size) { return keep(wide_vector(name, size)); }

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
    if (form.one_more) {
      for (float& x : weight.span<float>()) x += 1;
    }
    norm.weight = keep(weight);
  }
  if (form.bias) norm.bias = vector(name + ".bias", width);
  return norm;
}

Norm Reader::head_norm(const std::vector<std::string>& names, std::int64_t heads, std::int64_t head_dim, double eps,
                       bool centred) {
  Buffer weight(DType::f32, {heads, head_dim});
  if (names.size() == 1) {
    widen(expect(names[0], {heads, head_dim}), weight.span<float>());
  } else {
    const auto dim = static_cast<std::size_t>(head_dim);
    for (std::size_t h = 0; h < names.size(); ++h) {
      widen(expect(names[h], {head_dim}), weight.span<float>().subspan(h * dim, dim));
    }
  }
  return {.weight = keep(weight), .bias = {}, .eps = static_cast<float>(eps), .centred = centred};
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

View Reader::output(const std::string& name, const View& embedding, bool tied) {
  inventory_.output = module_of(name);
  if (const containers::Tensor* stored = find(name); stored != nullptr && tied) used_.insert(stored->name);
  const View kept = tied ? embedding : matrix(name, embedding[0], embedding[1]);
  inventory_.output_product = {.weights = kept.elements(), .bytes = kept.bytes()};
  return kept;
}

std::vector<std::string> Reader::unused() const {
  std::vector<std::string> names;
  for (const containers::Tensor& t : source_.tensors()) {
    const bool idle = std::ranges::any_of(idle_, [&](const std::string& s) { return t.name.ends_with(s); }) ||
                      std::ranges::any_of(others_, [&](const std::string& s) { return t.name.starts_with(s); });
    if (!idle && !used_.contains(t.name)) names.push_back(t.name);
  }
  return names;
}

}  // namespace pkv::model
