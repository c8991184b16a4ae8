// The part of Reader that deals with quantised matrices: those that are stored so, and those that are to be made.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "engine/kernels/call.h"
#include "engine/model/reader.h"
#include "engine/model/reader_values.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

// "a.b" is in "x.a.b.weight", as a whole run of its parts.
bool names_part(const std::string& module, const std::string& name) {
  return !module.empty() && ("." + name + ".").find("." + module + ".") != std::string::npos;
}

}  // namespace

bool Reader::skips(const std::string& name) const {
  const auto& skip = options_.quantize->skip;
  return std::any_of(skip.begin(), skip.end(), [&](const std::string& module) { return names_part(module, name); });
}

// [out, in], which may be stored [in, out] while it is not quantised.
Projection Reader::keep_linear(const std::string& name, std::int64_t out, std::int64_t in, bool transposed) {
  if (auto stored = find_stored(name, out, in)) return keep_stored(*std::move(stored), *find(name));
  if (const containers::Tensor* found = find(name)) {
    const Arrangement* stored = arrangement(*found);
    if (stored != nullptr && stored->turned) transposed = false;
  }
  return keep_plain(transposed ? expect(name, std::array{in, out}) : expect(name, std::array{out, in}), transposed);
}

Projection Reader::keep_plain(const containers::Tensor& t, bool transposed) {
  if (options_.quantize && !skips(t.name)) return encode(t, transposed);
  inventory_.plain.push_back(module_of(t.name));
  const View places = places_of(t);
  return {.weight = keep_matrix(t, transposed, places ? nullptr : arrangement(t)), .places = places};
}

// Where the outputs of a matrix whose rows were moved stand, for products to put them there: its rows stay where they
// lie in the file. Empty where no row was moved, or rows must be put in order.
View Reader::places_of(const containers::Tensor& t) {
  const Arrangement* stored = arrangement(t);
  const std::vector<std::int64_t>* rows = moved_rows(stored);
  if (rows == nullptr || backend_ == nullptr || !backend_->ops().places_outputs) return {};
  View& places = places_[stored];
  if (!places) {
    Buffer host(DType::i32, {std::ssize(*rows)});
    const std::span<std::int32_t> to = host.span<std::int32_t>();
    for (std::size_t i = 0; i < rows->size(); ++i) {
      to[static_cast<std::size_t>((*rows)[i])] = static_cast<std::int32_t>(i);
    }
    places = keep(host);
  }
  return places;
}

// What is stored quantised cannot be quantised anew.
void Reader::require_as_stored(const StoredMatrix& stored, const std::string& name) const {
  const quant::Matrix& m = stored.matrix;
  const Quantize& asked = *options_.quantize;
  const auto text = [](quant::Format format, std::int64_t block, bool nested) {
    const std::string blocks = quant::traits(format).has_blocks() ? fmt::format(" in blocks of {}", block) : "";
    return fmt::format("{}{}{}", quant::name_of(format), blocks, nested ? ", double quantised" : "");
  };
  const std::int64_t block = asked.block.value_or(m.block);
  const bool same =
      asked.format == m.format && asked.nested == stored.nested && (block == m.block || !m.traits().has_blocks());
  if (same && !skips(name)) return;
  fail_usage({.what = "the weights are quantised already, in another way",
              .where = fmt::format("{}: tensor '{}'", source_.path().string(), name),
              .expected = text(m.format, m.block, stored.nested),
              .found = skips(name) ? "not to be quantised (--skip)" : text(asked.format, block, asked.nested),
              .hint = "without --load-in they are used as they are; --load-in fp32 decodes them"});
}

Projection Reader::keep_stored(StoredMatrix stored, const containers::Tensor& t, Buffer codes) {
  quant::Matrix& m = stored.matrix;
  for (const std::string& tensor : stored.used) used_.insert(tensor);
  stored_format_ = m.format;
  inventory_.parameters += m.elements();
  inventory_.nested |= stored.nested;
  progress(t);
  if (options_.quantize) require_as_stored(stored, t.name);
  if (backend_ == nullptr) {
    count(m);
    return {.quantized = m};
  }
  const bool as_it_is = !options_.decode && kernels::can_multiply(m);
  const View places = as_it_is && !codes ? places_of(t) : View();
  if (const auto* rows = moved_rows(arrangement(t)); rows != nullptr && !places) codes = in_order(t, *rows);
  if (codes) {
    memory_.emplace_back(*backend_, m.code_bytes());
    backend_->upload(memory_.back().data(), codes.view().data, m.code_bytes());
    m.codes = m.codes_in(memory_.back().data());
    if (t.file) t.file->done_with(t.data);
  } else {
    place(m.codes);
  }
  if (stored.nested) {
    Buffer scales(DType::f32, {m.blocks()});
    std::copy(stored.scales.begin(), stored.scales.end(), scales.span<float>().begin());
    m.scales = keep(scales);
  } else {
    place(m.scales);
  }
  if (options_.decode) return keep_decoded(m, options_.dtype.value_or(m.decoded));
  if (!as_it_is) return keep_decoded(m, DType::f32);
  count(m);
  Projection kept = keep_packed(m);
  kept.places = places;
  kept.as_ggml = options_.as_ggml && m.traits().scaling == quant::Scaling::inside;
  inventory_.as_ggml |= kept.as_ggml;
  return kept;
}

// Places a view, and keeps the memory of its copy if it needed one.
void Reader::place(View& view) {
  if (kernels::Memory memory = kernels::place(*backend_, view)) return memory_.push_back(std::move(memory));
  if (options_.copied) copy(view);
}

// What it was packed from is kept, for those who write it down.
Projection Reader::keep_packed(quant::Matrix matrix) {
  if (kernels::Memory packed = kernels::pack(*backend_, matrix)) memory_.push_back(std::move(packed));
  return {.quantized = matrix};
}

// As a plain matrix of what the codes stand for: on demand, or because `linear` cannot multiply by these rows.
Projection Reader::keep_decoded(quant::Matrix m, DType dtype) {
  if (!options_.decode) m.decoded = DType::f32;
  View decoded(nullptr, dtype, {m.out, m.in});
  kernels::Memory memory(*backend_, decoded.bytes());
  decoded.data = memory.data();
  call(*backend_, &kernels::Ops::decode, {.from = m, .to = decoded});
  count(decoded);
  if (!options_.decode && !std::exchange(noted_odd_rows_, true)) {
    notes_.push_back(
        fmt::format("rows of {} elements are no whole number of 32: such matrices are kept in fp32, as what their {} "
                    "codes stand for",
                    m.in, quant::name_of(m.format)));
  }
  return {.weight = keep_packed(decoded, std::move(memory))};
}

Projection Reader::encode(const containers::Tensor& t, bool transposed) {
  const Quantize& how = *options_.quantize;
  const DType dtype = options_.dtype.value_or(dtype_to_compute_with(t));
  quant::Matrix m;
  m.format = how.format, m.block = how.block.value_or(quant::kDefaultBlock), m.decoded = dtype;
  m.out = t.shape[transposed ? 1 : 0], m.in = t.shape[transposed ? 0 : 1];
  progress(t);
  if (backend_ == nullptr) {
    count(m);
    return {.quantized = m};
  }
  kernels::Memory codes(*backend_, m.code_bytes()), scales(*backend_, m.scale_bytes());
  m.codes = m.codes_in(codes.data());
  m.scales = m.scales_in(scales.data());
  if (t.file) t.file->will_read(t.data);
  Buffer narrow;  // lives until the values are encoded
  View placed = values_of(t, arrangement(t), narrow);
  const kernels::Memory raw = kernels::place(*backend_, placed);
  if (transposed || dtype != t.dtype) {
    View turned(nullptr, dtype, {m.out, m.in});
    const kernels::Memory copy(*backend_, turned.bytes());
    turned.data = copy.data();
    if (dtype == DType::f16) note_beyond(t, DType::f16);
    call(*backend_, &kernels::Ops::convert, {.from = placed, .to = turned, .transpose = transposed});
    call(*backend_, &kernels::Ops::encode, {.from = turned, .to = m});
  } else {
    call(*backend_, &kernels::Ops::encode, {.from = placed, .to = m});
  }
  note_not_finite(t);
  if (t.file) t.file->done_with(t.data);
  if (m.traits().through == DType::f16) note_infinite_rows(m, t.name);
  QuantizedMatrix kept{.name = t.name, .matrix = m};
  if (how.nested && m.traits().nests) nest_scales(m, kept);
  quantized_.push_back(std::move(kept));
  memory_.push_back(std::move(codes));
  memory_.push_back(std::move(scales));
  if (!kernels::can_multiply(m)) return keep_decoded(m, DType::f32);
  count(m);
  return keep_packed(m);
}

void Reader::note_not_finite(const containers::Tensor& t) {
  const std::int64_t lost = count_not_finite(t);
  if (lost == 0) return;
  notes_.push_back(
      fmt::format("tensor '{}': {} values are NaN or infinite, which {} cannot hold: other numbers stand "
                  "in their place",
                  t.name, lost, quant::name_of(options_.quantize->format)));
}

// int8 rounds to fp16 first.
void Reader::note_infinite_rows(const quant::Matrix& m, const std::string& name) {
  std::vector<float> scales(static_cast<std::size_t>(m.scale_count()));
  backend_->download(scales.data(), m.scales.data, m.scale_bytes());
  const auto lost = std::count_if(scales.begin(), scales.end(), [](float s) { return std::isinf(s); });
  if (lost == 0) return;
  notes_.push_back(
      fmt::format("tensor '{}': {} rows have values too large for fp16, through which {} goes, and "
                  "became infinite; nf4 and fp4 hold them",
                  name, lost, quant::name_of(m.format)));
}

// Scales in 8 bits are used as the numbers that these stand for.
void Reader::nest_scales(quant::Matrix& m, QuantizedMatrix& kept) {
  std::vector<float> scales(static_cast<std::size_t>(m.blocks()));
  backend_->download(scales.data(), m.scales.data, m.scale_bytes());
  quant::NestedScales nested = quant::encode_scales(scales);
  quant::decode_scales(nested.codes, nested.scales, quant::dynamic_map(), quant::NestedScales::kBlock, nested.offset,
                       scales);
  backend_->upload(m.scales.data, scales.data(), m.scale_bytes());
  kept.nested = std::move(nested);
  inventory_.nested = true;
}

}  // namespace pkv::model
