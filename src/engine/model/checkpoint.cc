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

// A forward on a card left the codes in an order of that card's, which only the bitsandbytes of the time can undo.
[[noreturn]] void fail_layout(const containers::Tensor& codes, std::string found) {
  fail_load({.what = "codes are in the order of a graphics card",
             .where = fmt::format("{}: tensor '{}'", codes.file->path().string(), codes.name),
             .expected = "weight_format 'row' (0)",
             .found = std::move(found),
             .hint = "quantise the original model anew; bitsandbytes since 0.43.1 does not read this order either"});
}

// The layout: a tensor, or in older files an entry that is none.
void require_rows(const FindTensor& find, const FindOther& other, const std::string& module, StoredMatrix& stored) {
  static constexpr std::array<std::string_view, 4> kNames{"row", "col32", "col_turing", "col_ampere"};
  const std::string name = module + ".weight_format";
  const containers::Tensor& codes = *find(module + ".weight");
  if (find(name) != nullptr) {
    const containers::Tensor& format = part(find, name, codes, DType::u8, 1, stored);
    const auto number = static_cast<std::size_t>(format.data[0]);
    if (number != 0) {
      fail_layout(codes, number < kNames.size() ? fmt::format("{} ({})", kNames[number], number)
                                                : fmt::format("the unknown number {}", number));
    }
  }
  const containers::Other* entry = other ? other(name) : nullptr;
  if (entry == nullptr) return;
  stored.used.push_back(entry->name);
  if (entry->kind != "None" && entry->value != kNames[0] && entry->value != "0") fail_layout(codes, entry->describe());
}

StoredMatrix eight_bits(const FindTensor& find, const FindOther& other, const std::string& name, std::int64_t out,
                        std::int64_t in) {
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
  require_rows(find, other, module, stored);
  return stored;
}

// GGUF: the tensor is all that there is.
StoredMatrix in_blocks(const containers::Tensor& t, std::int64_t out, std::int64_t in) {
  const quant::BlockLayout layout = quant::layout_of(*t.format);
  if (t.shape != std::vector<std::int64_t>{out, in}) {
    contradicts(t, shape_text(std::array{out, in}) + ", by the metadata", shape_text(t.shape));
  }
  if (in % layout.weights != 0) {
    contradicts(t, fmt::format("rows of a multiple of {} elements", layout.weights), fmt::format("rows of {}", in));
  }
  StoredMatrix stored;
  stored.used = {t.name};
  quant::Matrix& m = stored.matrix;
  m.format = *t.format, m.out = out, m.in = in, m.block = layout.weights;
  if (t.data.size() != m.code_bytes()) {
    contradicts(t, fmt::format("{} bytes", m.code_bytes()), fmt::format("{} bytes", t.data.size()));
  }
  m.codes = m.codes_in(t.data.data());
  m.scales = m.scales_in(t.data.data());  // none
  return stored;
}

}  // namespace

std::string module_of(const std::string& tensor) {
  constexpr std::string_view kWeight = ".weight";
  return tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor;
}

std::optional<StoredMatrix> stored_matrix(const FindTensor& find, const std::string& name, std::int64_t out,
                                          std::int64_t in, const FindOther& other) {
  const containers::Tensor* codes = find(name);
  if (codes == nullptr) return std::nullopt;
  if (codes->format) return in_blocks(*codes, out, in);
  for (const quant::Format format : quant::formats()) {
    if (!quant::traits(format).has_blocks()) continue;
    const auto state = fmt::format("{}.quant_state.bitsandbytes__{}", name, quant::name_of(format));
    if (const containers::Tensor* t = find(state)) return four_bits(find, name, format, *t, out, in);
  }
  if (find(module_of(name) + ".SCB") != nullptr) return eight_bits(find, other, name, out, in);
  return std::nullopt;
}

std::string QuantizationConfig::disagrees(const std::string& file, std::optional<quant::Format> found) const {
  if (found && quant::traits(*found).scaling == quant::Scaling::inside) return {};  // tensors say it all by themselves
  const bool said = eight_bits || four_bits;
  const std::string where = file + ": quantization_config";
  if (!found) {
    if (!said) return {};
    return fmt::format("{} says that the weights are quantised to {} bits, but they are not: they are used as they are",
                       where, eight_bits ? 8 : 4);
  }
  if (!said)
    return fmt::format("{} says nothing of the weights being quantised, but they are: to {}", where,
                       quant::name_of(*found));
  if (quant::traits(*found).has_blocks() == four_bits) return {};
  return fmt::format("{} says that the weights are quantised to {} bits, but they are in {}", where, eight_bits ? 8 : 4,
                     quant::name_of(*found));
}

QuantizationConfig read_quantization_config(const hf::Config& config) {
  QuantizationConfig said;
  if (!config.has("quantization_config")) {
    config.without_effect({"quantization_config"});
    return said;
  }
  const hf::Config& c = config.child("quantization_config");
  if (c.text_or({"quant_method"}, "bitsandbytes") != "bitsandbytes") {
    c.unsupported("quant_method", "\"bitsandbytes\"");
  }
  if (c.flag_or({"llm_int8_has_fp16_weight"}, false)) c.unsupported("llm_int8_has_fp16_weight", "false");
  // Which matrices are quantised, and how, their tensors say.
  const auto asked = [&](std::string_view key) { return c.flag_or_none({key}).value_or(false); };
  const auto either = [](bool a, bool b) { return a || b; };  // both keys count as read
  said.four_bits = either(asked("load_in_4bit"), asked("_load_in_4bit"));
  said.eight_bits = either(asked("load_in_8bit"), asked("_load_in_8bit"));
  c.without_effect({"bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype",
                    "bnb_4bit_quant_storage", "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload"});
  if (c.has("llm_int8_threshold")) said.threshold = static_cast<float>(c.number({"llm_int8_threshold"}));
  return said;
}

}  // namespace pkv::model
