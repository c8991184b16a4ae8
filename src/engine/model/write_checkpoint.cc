#include "engine/model/write_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "engine/kernels/kernels.h"
#include "engine/model/checkpoint.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

using containers::Planned;
using containers::Sink;
using hf::PlannedGroup;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kPiece = std::size_t{1} << 20;  // elements or bytes handled at a time

void in_pieces(Bytes bytes, const Sink& sink) {
  for (; bytes.size() > kPiece; bytes = bytes.subspan(kPiece)) sink(bytes.first(kPiece));
  sink(bytes);
}

Planned borrowed(std::string name, DType dtype, std::vector<std::int64_t> shape, Bytes bytes) {
  const auto write = [bytes](const Sink& sink) { in_pieces(bytes, sink); };
  return {.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .write = write};
}

template <class T>
Planned owned(std::string name, DType dtype, std::vector<std::int64_t> shape, std::vector<T> values) {
  const auto write = [values = std::move(values)](const Sink& sink) {
    in_pieces(std::as_bytes(std::span(values)), sink);
  };
  return {.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .write = write};
}

Bytes bytes_of(const View& view) { return {static_cast<const std::byte*>(view.data), view.bytes()}; }

std::int64_t size_of(const auto& values) { return static_cast<std::int64_t>(values.size()); }

// As Python writes a double: 0.5476, 1e-05, 1.0.
std::string json_number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

// As json.dumps writes what bitsandbytes' QuantState.as_dict gives.
std::string state_text(const QuantizedMatrix& q) {
  const quant::Matrix& m = q.matrix;
  std::string text = fmt::format(R"({{"quant_type": "{}", "blocksize": {}, "dtype": "{}", "shape": [{}, {}])",
                                 quant::name_of(m.format), m.block, torch_name(m.decoded), m.out, m.in);
  if (q.nested) {
    text += fmt::format(R"(, "nested_blocksize": {}, "nested_dtype": "float32", "nested_offset": {})",
                        quant::NestedScales::kBlock, json_number(q.nested->offset));
  }
  return text + "}";
}

void require_finite(const QuantizedMatrix& q) {
  if (!q.nested || std::isfinite(q.nested->offset)) return;
  fail_load({.what = "weights are not finite, so that their scales cannot be quantised",
             .where = fmt::format("tensor '{}'", q.name),
             .hint = "without --double-quant"});
}

std::vector<std::int64_t> stored_shape(const QuantizedMatrix& q, DType storage) {
  const auto bytes = static_cast<std::int64_t>(q.matrix.code_bytes());
  const auto size = static_cast<std::int64_t>(pkv::size_of(storage));
  if (bytes % size == 0) return {bytes / size, 1};
  fail_usage({.what = "codes cannot be stored as this number format",
              .where = fmt::format("tensor '{}'", q.name),
              .expected = fmt::format("a whole number of {} elements of {} bytes", torch_name(storage), size),
              .found = fmt::format("{} bytes", bytes),
              .hint = "--storage uint8"});
}

PlannedGroup four_bits(const QuantizedMatrix& q, DType storage) {
  require_finite(q);
  const quant::Matrix& m = q.matrix;
  std::vector<float> table;
  for (const float value : quant::code_values(m.format)) table.push_back(value + 0.f);  // fp4: -0 is 0 in their files
  const std::string state = state_text(q);
  PlannedGroup group{borrowed(q.name, storage, stored_shape(q, storage), bytes_of(m.codes)),
                     owned(q.name + ".quant_map", DType::f32, {16}, std::move(table)),
                     owned(fmt::format("{}.quant_state.bitsandbytes__{}", q.name, quant::name_of(m.format)), DType::u8,
                           {size_of(state)}, std::vector<char>(state.begin(), state.end()))};
  if (!q.nested) {
    group.push_back(borrowed(q.name + ".absmax", DType::f32, {m.blocks()}, bytes_of(m.scales)));
    return group;
  }
  const quant::NestedScales& n = *q.nested;
  const auto& map = quant::dynamic_map();
  group.push_back(borrowed(q.name + ".absmax", DType::u8, {m.blocks()}, std::as_bytes(std::span(n.codes))));
  group.push_back(
      borrowed(q.name + ".nested_absmax", DType::f32, {size_of(n.scales)}, std::as_bytes(std::span(n.scales))));
  group.push_back(owned(q.name + ".nested_quant_map", DType::f32, {256}, std::vector<float>(map.begin(), map.end())));
  return group;
}

PlannedGroup eight_bits(const QuantizedMatrix& q) {
  const quant::Matrix& m = q.matrix;
  const std::string module = module_of(q.name);
  return {borrowed(q.name, DType::i8, {m.out, m.in}, bytes_of(m.codes)),
          borrowed(module + ".SCB", DType::f32, {m.out}, bytes_of(m.scales)),
          owned(module + ".weight_format", DType::u8, {}, std::vector<std::uint8_t>{0})};
}

// Pages of the file are given back as it goes, so that a tensor larger than memory can be written.
void write_copied(const containers::Tensor& t, DType dtype, const Sink& sink) {
  const std::size_t piece = kPiece * pkv::size_of(t.dtype);
  std::vector<float> wide;
  std::vector<std::byte> converted;
  t.file->will_read(t.data);
  for (std::size_t at = 0; at < t.data.size(); at += piece) {
    const Bytes from = t.data.subspan(at, std::min(piece, t.data.size() - at));
    if (dtype == t.dtype) {
      sink(from);
    } else {
      wide.resize(from.size() / size_of(t.dtype));
      load_elements(from.data(), t.dtype, 0, wide);
      converted.resize(wide.size() * size_of(dtype));
      store_elements(converted.data(), dtype, wide);
      sink(converted);
    }
    t.file->done_with(from);
  }
}

Planned copied(const containers::Tensor& t, std::optional<DType> dtype) {
  const DType to = dtype && is_float(t.dtype) ? *dtype : t.dtype;
  const auto write = [&t, to](const Sink& sink) { write_copied(t, to, sink); };
  return {.name = t.name, .dtype = to, .shape = t.shape, .write = write};
}

void require_new(const Source& source, const std::vector<PlannedGroup>& groups) {
  for (const PlannedGroup& group : groups) {
    for (std::size_t i = 1; i < group.size(); ++i) {
      if (source.find(group[i].name) == nullptr) continue;
      fail_load({.what = "a tensor has the name of a part of a quantised matrix",
                 .where = fmt::format("{}: tensor '{}'", source.path().string(), group[i].name)});
    }
  }
}

std::uint64_t total(const PlannedGroup& group) {
  std::uint64_t bytes = 0;
  for (const Planned& t : group) bytes += containers::bytes_of(t);
  return bytes;
}

// In the order of names: a quantised matrix with its parts, or a tensor by itself.
std::vector<PlannedGroup> plan(const Model& m, const WriteOptions& options, Written& written) {
  std::map<std::string_view, const QuantizedMatrix*> quantised;
  for (const QuantizedMatrix& q : m.quantized()) quantised.emplace(q.name, &q);
  std::vector<PlannedGroup> groups;
  for (const containers::Tensor& t : m.source().tensors()) {
    written.bytes_before += t.data.size();
    const auto found = quantised.find(t.name);
    if (found == quantised.end()) {
      groups.push_back({copied(t, options.dtype)});
    } else {
      const QuantizedMatrix& q = *found->second;
      groups.push_back(q.matrix.traits().has_blocks() ? four_bits(q, options.storage) : eight_bits(q));
      written.matrices += 1;
      written.weights += q.matrix.elements();
      written.quantised_bytes += total(groups.back());
    }
    written.bytes += total(groups.back());
  }
  return groups;
}

hf::BitsAndBytes description(const Model& m, const WriteOptions& options) {
  const quant::Matrix& first = m.quantized().front().matrix;
  hf::BitsAndBytes d{.threshold = m.outliers().threshold};
  d.eight_bits = !first.traits().has_blocks();
  if (!d.eight_bits) {
    d.type = quant::name_of(first.format);
    d.compute_dtype = torch_name(first.decoded);
    d.storage = torch_name(options.storage);
    d.nested = m.weights().nested;
  }
  d.skip = m.weights().plain;
  if (!d.skip.empty()) d.skip.push_back(m.weights().output);  // a list of its own replaces transformers' own rule
  return d;
}

void require_writable(const Model& m) {
  if (!m.backend().ops().memory.of_host) {
    fail_usage({.what = "quantised matrices cannot be written from a device, which packs them in its own order",
                .where = fmt::format("backend {}", m.backend().name()),
                .hint = "--backend cpu"});
  }
  require_not_quantised(m.source());
  if (!m.source().unreadable().empty()) containers::fail_unreadable(m.source().unreadable().front());
  if (!m.quantized().empty()) return;
  const bool skipped = !m.weights().plain.empty();
  fail_usage({.what = "no matrix was quantised, so there is nothing to write",
              .where = m.source().path().string(),
              .found = skipped ? "all of them skipped" : "none that could be",
              .hint = skipped ? "a shorter --skip" : ""});
}

}  // namespace

void require_not_quantised(const Source& source) {
  const Inventory found = inspect(source).weights;
  if (!found.quantized) return;
  fail_usage({.what = "the weights are quantised already",
              .where = source.path().string(),
              .expected = "a model whose matrices are fp32, fp16 or bf16",
              .found = std::string(found.format()),
              .hint = "the model that this one was made from"});
}

Written write_checkpoint(const Model& m, const std::filesystem::path& place, const WriteOptions& options) {
  require_writable(m);
  Written written;
  const std::vector<PlannedGroup> groups = plan(m, options, written);
  require_new(m.source(), groups);
  FolderWriter folder(place);
  folder.require_space(written.bytes);
  hf::copy_companions(m.source().path(), folder.path());
  const std::string_view dtype = options.dtype ? torch_name(*options.dtype) : std::string_view();
  write_file(folder.path() / "config.json", hf::config_text(m.source().config(), description(m, options), dtype));
  written.files = hf::write_weights(folder.path(), groups, options.max_shard, options.progress);
  folder.commit();
  return written;
}

}  // namespace pkv::model
