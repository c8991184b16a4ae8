// Matrices as bitsandbytes stores them, damaged in every way that is looked for: each is refused by name.
#include "engine/model/checkpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>

#include "base/error.h"

namespace pkv::model {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kOut = 6, kIn = 64;  // 6 blocks of 64

// The tensors of one matrix "w.weight", to be damaged.
class Parts {
 public:
  struct Part {
    DType dtype;
    std::vector<std::int64_t> shape;
    std::string bytes;
  };

  Part& operator[](const std::string& name) { return parts_[name]; }
  void erase(const std::string& name) { parts_.erase(name); }
  void rename(const std::string& from, const std::string& to) {
    parts_[to] = parts_[from];
    parts_.erase(from);
  }
  void put(const std::string& name, DType dtype, std::vector<std::int64_t> shape, std::string bytes) {
    parts_[name] = {dtype, std::move(shape), std::move(bytes)};
  }
  void floats(const std::string& name, const std::vector<float>& values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    put(name, DType::f32, {static_cast<std::int64_t>(values.size())}, bytes);
  }
  void state(const std::string& json, const std::string& format = "nf4") {
    put("w.weight.quant_state.bitsandbytes__" + format, DType::u8, {static_cast<std::int64_t>(json.size())}, json);
  }

  std::string error(std::int64_t out = kOut, std::int64_t in = kIn, const containers::Other* other = nullptr) const {
    static const auto file = std::make_shared<const MappedFile>("/proc/self/exe");
    std::map<std::string, containers::Tensor> tensors;
    for (const auto& [name, part] : parts_) {
      tensors[name] = {.name = name,
                       .dtype = part.dtype,
                       .shape = part.shape,
                       .data = std::as_bytes(std::span(part.bytes)),
                       .file = file};
    }
    const auto find = [&](const std::string& name) {
      const auto at = tensors.find(name);
      return at == tensors.end() ? nullptr : &at->second;
    };
    try {
      const auto find_other = [&](const std::string& name) {
        return other != nullptr && other->name == name ? other : nullptr;
      };
      return stored_matrix(find, "w.weight", out, in, find_other) ? "no error" : "no matrix";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::load) << e.what();
      return e.what();
    }
  }

 private:
  std::map<std::string, Part> parts_;
};

const std::string kState = R"("quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [6, 64])";
const std::string kNested = R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5)";

std::vector<float> table(quant::Format format) {
  const auto& values = quant::code_values(format);
  return {values.begin(), values.end()};
}

Parts four_bits() {
  Parts p;
  p.put("w.weight", DType::u8, {192, 1}, std::string(192, '\x12'));
  p.floats("w.weight.absmax", std::vector<float>(6, 1.f));
  p.floats("w.weight.quant_map", table(quant::Format::nf4));
  p.state("{" + kState + "}");
  return p;
}

Parts nested() {
  Parts p = four_bits();
  p.put("w.weight.absmax", DType::u8, {6}, std::string(6, '\x7f'));
  p.floats("w.weight.nested_absmax", {1.f});
  p.floats("w.weight.nested_quant_map", {quant::dynamic_map().begin(), quant::dynamic_map().end()});
  p.state("{" + kState + kNested + "}");
  return p;
}

Parts eight_bits() {
  Parts p;
  p.put("w.weight", DType::i8, {kOut, kIn}, std::string(kOut * kIn, '\x05'));
  p.floats("w.SCB", std::vector<float>(6, 1.f));
  p.put("w.weight_format", DType::u8, {}, std::string(1, '\0'));
  return p;
}

TEST(StoredMatrix, WholeOnesAreTaken) {
  EXPECT_EQ(four_bits().error(), "no error");
  EXPECT_EQ(nested().error(), "no error");
  EXPECT_EQ(eight_bits().error(), "no error");
  Parts p = eight_bits();
  p.erase("w.weight_format");  // files before bitsandbytes 0.43.1
  EXPECT_EQ(p.error(), "no error");
  p.erase("w.SCB");
  EXPECT_EQ(p.error(), "no matrix");
  p = four_bits();
  p["w.weight"] = {DType::f16, {96, 1}, std::string(192, '\x12')};  // bnb_4bit_quant_storage
  EXPECT_EQ(p.error(), "no error");
  EXPECT_EQ(Parts().error(), "no matrix");
}

struct Damage {
  const char* what;
  std::function<void(Parts&)> done;
  std::vector<std::string> says;
};

void expect_refused(Parts (*whole)(), const std::vector<Damage>& damages) {
  for (const Damage& d : damages) {
    Parts p = whole();
    d.done(p);
    const std::string error = p.error();
    for (const std::string& words : d.says) EXPECT_THAT(error, HasSubstr(words)) << d.what;
  }
}

auto state(std::string from, std::string to) {
  return [=](Parts& p) {
    std::string json = "{" + kState + "}";
    json.replace(json.find(from), from.size(), to);
    p.state(json);
  };
}

TEST(StoredMatrix, FourBitsDamaged) {
  const std::string kMap = "w.weight.quant_map", kAbsmax = "w.weight.absmax";
  const std::vector<Damage> damages{
      {"absmax cut off",
       [&](Parts& p) {
         p.floats(kAbsmax, {1, 1, 1});
       },
       {"tensor 'w.weight.absmax'", "contradict", "F32 with 6 elements", "F32 [3]"}},
      {"absmax missing", [&](Parts& p) { p.erase(kAbsmax); }, {"'w.weight'", "'w.weight.absmax'", "found:    none"}},
      {"absmax of another dtype",
       [&](Parts& p) { p.put(kAbsmax, DType::f16, {6}, std::string(12, '\0')); },
       {"F32 with 6 elements", "F16 [6]"}},
      {"absmax nested, the state not",
       [&](Parts& p) { p.put(kAbsmax, DType::u8, {6}, std::string(6, '\0')); },
       {"F32 with 6 elements", "U8 [6]"}},
      {"no table", [&](Parts& p) { p.erase(kMap); }, {"'w.weight.quant_map', F32 with 16 elements", "none"}},
      {"a table of 8", [&](Parts& p) { p.floats(kMap, std::vector<float>(8)); }, {kMap, "16 elements", "F32 [8]"}},
      {"a foreign table",
       [&](Parts& p) { p.floats(kMap, table(quant::Format::fp4)); },
       {kMap, "-1 as the value of code 0 of nf4", "found:    0"}},
      {"codes cut off",
       [](Parts& p) {
         p["w.weight"] = {DType::u8, {191, 1}, std::string(191, '\0')};
       },
       {"'w.weight'", "192 bytes", "191 bytes"}},
      {"another format in the name",
       [](Parts& p) { p.rename("w.weight.quant_state.bitsandbytes__nf4", "w.weight.quant_state.bitsandbytes__fp4"); },
       {": quant_type", "that of the tensor's name", "\"nf4\""}},
      {"wrong shape", state("[6, 64]", "[64, 6]"), {"[6, 64], by config.json", "[64, 6]"}},
      {"a huge shape", state("[6, 64]", "[6, 18446744073709551615]"), {": shape", "18446744073709551615"}},
      {"a negative shape", state("[6, 64]", "[-6, -64]"), {": shape", "-6"}},
      {"no list", state("[6, 64]", "\"6x64\""), {": shape"}},
      {"rank 3", state("[6, 64]", "[6, 64, 1]"), {"[6, 64, 1]"}},
      {"block size 0", state("\"blocksize\": 64", "\"blocksize\": 0"), {": blocksize", "found:    0"}},
      {"block size 48", state("\"blocksize\": 64", "\"blocksize\": 48"), {": blocksize", "a power of two"}},
      {"a huge block size", state("\"blocksize\": 64", "\"blocksize\": 1e30"), {": blocksize", "1e+30"}},
      {"a negative block size", state("\"blocksize\": 64", "\"blocksize\": -64"), {": blocksize", "-64"}},
      {"no block size", state("\"blocksize\": 64, ", ""), {": blocksize", "is missing"}},
      {"no dtype", state("\"dtype\": \"float32\", ", ""), {": dtype", "is missing"}},
      {"float64", state("float32", "float64"), {": dtype", "\"bfloat16\"", "\"float64\""}},
      {"no JSON", [](Parts& p) { p.state("quant_type: nf4"); }, {"quant_state.bitsandbytes__nf4'", "not valid JSON"}},
      {"nothing", [](Parts& p) { p.state(""); }, {"quant_state.bitsandbytes__nf4'", "not valid JSON"}},
      {"a list", [](Parts& p) { p.state("[]"); }, {"quant_state.bitsandbytes__nf4'", "expected: an object"}},
      {"zeros", [](Parts& p) { p.state(std::string(80, '\0')); }, {"a NUL byte"}},
      {"an endless state", [](Parts& p) { p.state(std::string(5000, ' ')); }, {"at most 4096", "U8 [5000]"}},
      {"a state of numbers",
       [](Parts& p) { p["w.weight.quant_state.bitsandbytes__nf4"].dtype = DType::i8; },
       {"U8 with at most 4096", "I8"}},
  };
  expect_refused(four_bits, damages);
}

auto nested_state(std::string from, std::string to) {
  return [=](Parts& p) {
    std::string json = "{" + kState + kNested + "}";
    json.replace(json.find(from), from.size(), to);
    p.state(json);
  };
}

TEST(StoredMatrix, NestedDamaged) {
  const std::vector<Damage> damages{
      {"fp32 scales",
       [](Parts& p) { p.floats("w.weight.absmax", std::vector<float>(6)); },
       {"'w.weight.absmax'", "U8 with 6 elements", "F32 [6]"}},
      {"no nested scales",
       [](Parts& p) { p.erase("w.weight.nested_absmax"); },
       {"'w.weight.nested_absmax', F32 with 1 elements"}},
      {"too many",
       [](Parts& p) {
         p.floats("w.weight.nested_absmax", {1, 2});
       },
       {"1 elements", "F32 [2]"}},
      {"no map",
       [](Parts& p) { p.erase("w.weight.nested_quant_map"); },
       {"'w.weight.nested_quant_map', F32 with 256 elements"}},
      {"a short map", [](Parts& p) { p.floats("w.weight.nested_quant_map", {0}); }, {"256 elements", "F32 [1]"}},
      {"no offset", nested_state(", \"nested_offset\": 0.5", ""), {": nested_offset", "is missing"}},
      {"an offset that is a text", nested_state("0.5", "\"0.5\""), {": nested_offset", "a finite number"}},
      {"an endless offset", nested_state("0.5", "1e999"), {"bitsandbytes__nf4"}},
      {"blocks of 0", nested_state("256", "0"), {": nested_blocksize", "found:    0"}},
      {"blocks of 2", nested_state("256", "2"), {"'w.weight.nested_absmax'", "F32 with 3 elements"}},
  };
  expect_refused(nested, damages);
}

TEST(StoredMatrix, EightBitsDamaged) {
  const std::vector<Damage> damages{
      {"turned",
       [](Parts& p) {
         p["w.weight"].shape = {kIn, kOut};
       },
       {"I8 [6, 64]", "I8 [64, 6]"}},
      {"unsigned", [](Parts& p) { p["w.weight"].dtype = DType::u8; }, {"I8 [6, 64]", "U8 [6, 64]"}},
      {"scales cut off", [](Parts& p) { p.floats("w.SCB", {1}); }, {"'w.SCB'", "F32 with 6 elements", "F32 [1]"}},
      {"an old layout",
       [](Parts& p) { p["w.weight_format"].bytes = "\x02"; },
       {"'w.weight'", "in the order of a graphics card", "expected: weight_format 'row' (0)", "col_turing (2)"}},
      {"an unknown layout", [](Parts& p) { p["w.weight_format"].bytes = "\x09"; }, {"the unknown number 9"}},
      {"a text for a layout",
       [](Parts& p) { p.put("w.weight_format", DType::u8, {3}, "row"); },
       {"U8 with 1 elements", "U8 [3]"}},
  };
  expect_refused(eight_bits, damages);
}

// Before 0.43.1, bitsandbytes wrote a text into PyTorch's files, which is no tensor.
TEST(StoredMatrix, TheLayoutAsATextOfAPyTorchFile) {
  const auto said = [](std::string_view kind, std::string value) {
    const containers::Other other{.name = "w.weight_format", .kind = kind, .value = std::move(value)};
    Parts p = eight_bits();
    p.erase("w.weight_format");
    return p.error(kOut, kIn, &other);
  };
  EXPECT_EQ(said("a text", "row"), "no error");
  EXPECT_EQ(said("None", ""), "no error");
  for (const char* layout : {"col32", "col_turing", "col_ampere", "rows", ""}) {
    EXPECT_THAT(said("a text", layout), AllOf(HasSubstr("'w.weight': codes are in the order of a graphics card"),
                                              HasSubstr("'w.weight_format', a text"), HasSubstr(layout)));
  }
  EXPECT_EQ(said("an integer", "0"), "no error");
  EXPECT_THAT(said("an integer", "2"), HasSubstr("an integer: '2'"));
}

std::string config_error(const std::string& quantization) {
  const auto config = hf::Config::parse(R"({"quantization_config": )" + quantization + "}", "config.json");
  try {
    read_quantization_config(config);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::load);
    return e.what();
  }
  return "no error";
}

TEST(QuantizationConfig, OtherMethodsAreRefusedByName) {
  EXPECT_EQ(config_error("null"), "no error");
  EXPECT_EQ(config_error(R"({"load_in_4bit": true})"), "no error");
  for (const char* method : {"gptq", "awq", "fp8", "mxfp4", "hqq"}) {
    EXPECT_THAT(config_error(fmt::format(R"({{"quant_method": "{}", "bits": 4}})", method)),
                AllOf(HasSubstr("config.json: quantization_config.quant_method"), HasSubstr("not supported"),
                      HasSubstr("expected: \"bitsandbytes\""), HasSubstr(method)));
  }
}

TEST(QuantizationConfig, WhatItSaysIsHeldAgainstTheTensors) {
  const auto said = [](const std::string& quantization, std::optional<quant::Format> found) {
    const auto config = hf::Config::parse(R"({"quantization_config": )" + quantization + "}", "config.json");
    return read_quantization_config(config).disagrees("config.json", found);
  };
  const std::string four = R"({"load_in_4bit": true, "load_in_8bit": false})", eight = R"({"_load_in_8bit": true})";
  EXPECT_EQ(said("null", {}), "");
  EXPECT_EQ(said(four, quant::Format::nf4), "");
  EXPECT_EQ(said(eight, quant::Format::int8), "");
  EXPECT_EQ(said(four, {}),
            "config.json: quantization_config says that the weights are quantised to 4 bits, but they "
            "are not: they are used as they are");
  EXPECT_THAT(said(eight, {}), HasSubstr("quantised to 8 bits, but they are not"));
  EXPECT_THAT(said(eight, quant::Format::fp4), HasSubstr("quantised to 8 bits, but they are in fp4"));
  EXPECT_THAT(said("null", quant::Format::int8),
              HasSubstr("says nothing of the weights being quantised, but they are"));
}

TEST(QuantizationConfig, WrongValuesAreRefusedByName) {
  EXPECT_THAT(config_error("[]"), HasSubstr("quantization_config"));
  EXPECT_THAT(config_error(R"({"quant_method": 4})"), HasSubstr("quantization_config.quant_method"));
  EXPECT_THAT(config_error(R"({"llm_int8_has_fp16_weight": true})"), HasSubstr("llm_int8_has_fp16_weight"));
  EXPECT_THAT(config_error(R"({"llm_int8_threshold": "6"})"), HasSubstr("llm_int8_threshold"));
}

}  // namespace
}  // namespace pkv::model
