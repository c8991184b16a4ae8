#include "engine/model/checkpoint.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace pkv::model {
namespace {

[[noreturn]] void contradicts(const containers::Tensor& t, std::string expected, std::string found) {
  fail_load({.what = "a quantised matrix and its tensors contradict each other",
             .where = fmt::format("{}: tensor '{}'", t.file->path().string(), t.name),
             .expected = std::move(expected),
             .found = std::move(found)});
}

std::string text_of(const containers::Tensor& t) {
  return fmt::format("{} {}", safetensors_name(t.dtype), shape_text(t.shape));
}

std::int64_t elements(const containers::Tensor& t) {
  return static_cast<std::int64_t>(t.data.size() / size_of(t.dtype));
}

// A part of the matrix: `name` of `dtype` with `count` elements.
const containers::Tensor& part(const FindTensor& find, const std::string& name, const containers::Tensor& of,
                               DType dtype, std::int64_t count, StoredMatrix& stored) {
  const containers::Tensor* t = find(name);
  const std::string expected = fmt::format("{} with {} elements", safetensors_name(dtype), count);
  if (t == nullptr) contradicts(of, fmt::format("a tensor '{}', {}", name, expected), "none");
  if (t->dtype != dtype || elements(*t) != count) contradicts(*t, expected, text_of(*t));
  stored.used.push_back(t->name);
  return *t;
}

std::vector<float> floats(const containers::Tensor& t) {
  std::vector<float> values(t.data.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), t.data.data(), t.data.size());
  return values;
}

DType decoded_dtype(const hf::Config& state) {
  const auto dtype = from_torch_name(state.text({"dtype"}));
  if (dtype && is_float(*dtype)) return *dtype;
  state.unsupported("dtype", "\"float32\", \"float16\" or \"bfloat16\"");
}

void check_table(const containers::Tensor& map, quant::Format format) {
  const std::vector<float> values = floats(map);
  const std::span<const float> ours = quant::code_values(format);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == ours[i]) continue;
    contradicts(map, fmt::format("{} as the value of code {} of {}", ours[i], i, quant::name_of(format)),
                fmt::format("{}", values[i]));
  }
}

void read_scales(const FindTensor& find, const std::string& name, const containers::Tensor& codes,
                 const hf::Config& state, StoredMatrix& stored) {
  const std::int64_t blocks = stored.matrix.blocks();
  if (!stored.nested) {
    const containers::Tensor& scales = part(find, name + ".absmax", codes, DType::f32, blocks, stored);
    stored.matrix.scales = View(scales.data.data(), DType::f32, {blocks});
    return;
  }
  const std::int64_t block = state.integer({"nested_blocksize"}, 1, 1 << 20);
  const double offset = state.number({"nested_offset"});
  state.without_effect({"nested_dtype"});
  const containers::Tensor& absmax = part(find, name + ".absmax", codes, DType::u8, blocks, stored);
  const auto nested =
      floats(part(find, name + ".nested_absmax", codes, DType::f32, (blocks + block - 1) / block, stored));
  const auto map = floats(part(find, name + ".nested_quant_map", codes, DType::f32, 256, stored));
  stored.scales.resize(static_cast<std::size_t>(blocks));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(absmax.data.data());
  quant::decode_scales({bytes, absmax.data.size()}, nested, map, block, static_cast<float>(offset), stored.scales);
}

StoredMatrix four_bits(const FindTensor& find, const std::string& name, quant::Format format,
                       const containers::Tensor& state, std::int64_t out, std::int64_t in) {
  const containers::Tensor& codes = *find(name);
  const std::string where = fmt::format("{}: tensor '{}'", state.file->path().string(), state.name);
  constexpr std::size_t kMostState = 4096;
  if (state.dtype != DType::u8 || state.data.size() > kMostState) {
    contradicts(state, fmt::format("U8 with at most {} elements", kMostState), text_of(state));
  }
  const auto c = hf::Config::parse(pkv::text_of(state.data), where);
  const auto shape = c.integers({"shape"}, 0, std::int64_t{1} << 40);
  if (shape != std::vector<std::int64_t>{out, in}) {
    contradicts(state, shape_text(std::array{out, in}) + ", by config.json", shape_text(shape));
  }
  if (c.text({"quant_type"}) != quant::name_of(format)) c.unsupported("quant_type", "that of the tensor's name");
  StoredMatrix stored;
  stored.used = {codes.name, state.name};
  stored.nested = c.has("nested_blocksize");
  quant::Matrix& m = stored.matrix;
  m.format = format, m.out = out, m.in = in;
  m.block = c.integer({"blocksize"}, 1, 1 << 20);
  if (!quant::is_block_size(m.block)) c.unsupported("blocksize", "a power of two from 32 to 4096");
  m.decoded = decoded_dtype(c);
  if (codes.data.size() != m.code_bytes()) {
    contradicts(codes, fmt::format("{} bytes", m.code_bytes()), fmt::format("{} bytes", codes.data.size()));
  }
  m.codes = View(codes.data.data(), DType::u8, {static_cast<std::int64_t>(m.code_bytes())});
  check_table(part(find, name + ".quant_map", codes, DType::f32, 16, stored), format);
  read_scales(find, name, codes, c, stored);
  return stored;
}

StoredMatrix eight_bits(const FindTensor& find, const std::string& name, std::int64_t out, std::int64_t in) {
  const std::string module = module_of(name);
  const containers::Tensor& codes = *find(name);
  if (codes.dtype != DType::i8 || codes.shape != std::vector<std::int64_t>{out, in}) {
    contradicts(codes, "I8 " + shape_text(std::array{out, in}), text_of(codes));
  }
  StoredMatrix stored;
  stored.used = {codes.name};
  quant::Matrix& m = stored.matrix;
  m.format = quant::Format::int8, m.out = out, m.in = in, m.decoded = DType::f16;
  m.codes = View(codes.data.data(), DType::i8, {out, in});
  m.scales = View(part(find, module + ".SCB", codes, DType::f32, out, stored).data.data(), DType::f32, {out});
  if (find(module + ".weight_format") != nullptr) {
    const containers::Tensor& format = part(find, module + ".weight_format", codes, DType::u8, 1, stored);
    if (format.data[0] != std::byte{0}) contradicts(format, "0: rows", "an old tiled layout");
  }
  return stored;
}

}  // namespace

std::string module_of(const std::string& tensor) {
  constexpr std::string_view kWeight = ".weight";
  return tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor;
}

std::optional<StoredMatrix> stored_matrix(const FindTensor& find, const std::string& name, std::int64_t out,
                                          std::int64_t in) {
  const containers::Tensor* codes = find(name);
  if (codes == nullptr) return std::nullopt;
  for (const quant::Format format : quant::formats()) {
    if (!quant::traits(format).has_blocks()) continue;
    const auto state = fmt::format("{}.quant_state.bitsandbytes__{}", name, quant::name_of(format));
    if (const containers::Tensor* t = find(state)) return four_bits(find, name, format, *t, out, in);
  }
  if (find(module_of(name) + ".SCB") != nullptr) return eight_bits(find, name, out, in);
  return std::nullopt;
}

std::optional<float> read_quantization_config(const hf::Config& config) {
  if (!config.has("quantization_config")) {
    config.without_effect({"quantization_config"});
    return std::nullopt;
  }
  const hf::Config& c = config.child("quantization_config");
  if (c.text_or({"quant_method"}, "bitsandbytes") != "bitsandbytes") {
    c.unsupported("quant_method", "\"bitsandbytes\"");
  }
  if (c.flag_or({"llm_int8_has_fp16_weight"}, false)) c.unsupported("llm_int8_has_fp16_weight", "false");
  // Which matrices are quantised, and how, their tensors say.
  c.without_effect({"load_in_4bit", "_load_in_4bit", "load_in_8bit", "_load_in_8bit", "bnb_4bit_quant_type",
                    "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage",
                    "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload"});
  if (!c.has("llm_int8_threshold")) return std::nullopt;
  return static_cast<float>(c.number({"llm_int8_threshold"}));
}

}  // namespace pkv::model
