// Room quant against bitsandbytes itself: what it makes of the same inputs, recorded by tools/make_quant_goldens.py on
// a GPU (the reference) and on a CPU.
//
// Codes and scales must be those of the GPU, bit for bit. The CPU build departs from it in ways that are listed in
// docs/formats.md, so of its file what holds on both is compared: decoded values, and codes where they do not depend on
// how a tie, a zero block or a subnormal is treated.
#include "engine/quant/quant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/tensor/half.h"
#include "files/hf/hf.h"
#include "support/places.h"

namespace pkv::quant {
namespace {

using nlohmann::json;

struct Case {
  std::string file, name;
  json about;
};

const containers::SafeTensors& file_of(const std::string& device) {
  const auto open = [](const std::string& name) {
    return containers::SafeTensors::open(support::source() / "tests/golden/quant" / name);
  };
  static const containers::SafeTensors cpu = open("bitsandbytes-cpu.safetensors"),
                                       cuda = open("bitsandbytes-cuda.safetensors");
  return device == "cpu" ? cpu : cuda;
}

std::vector<Case> cases(const std::string& device, const std::vector<std::string>& kinds) {
  std::vector<Case> all;
  for (const auto& [name, text] : file_of(device).metadata()) {
    const json about = json::parse(text, nullptr, false);
    if (!about.is_object() || !about.contains("kind")) continue;
    for (const std::string& kind : kinds) {
      if (about["kind"] == kind) all.push_back({device, name, about});
    }
  }
  return all;
}

std::vector<Case> both(const std::vector<std::string>& kinds) {
  std::vector<Case> all = cases("cuda", kinds);
  const std::vector<Case> cpu = cases("cpu", kinds);
  all.insert(all.end(), cpu.begin(), cpu.end());
  return all;
}

// Runs a test on every recorded case of some kinds.
class FromBitsandbytes : public testing::Test {
 protected:
  template <class Body>
  void for_each(const std::vector<Case>& all, const Body& body) {
    ASSERT_FALSE(all.empty());
    for (const Case& c : all) {
      SCOPED_TRACE(c.file + " " + c.name);
      case_ = &c;
      body();
    }
  }
  const Case& current() const { return *case_; }

  const containers::Tensor& tensor(const std::string& what) const {
    return file_of(current().file).get(current().name + "/" + what);
  }
  bool has(const std::string& what) const { return file_of(current().file).has(current().name + "/" + what); }
  template <class T>
  std::vector<T> values(const std::string& what) const {
    const containers::Tensor& t = tensor(what);
    EXPECT_EQ(t.data.size() % sizeof(T), 0u);
    std::vector<T> v(t.data.size() / sizeof(T));
    if (!v.empty()) std::memcpy(v.data(), t.data.data(), t.data.size());
    return v;
  }
  std::vector<float> floats(const std::string& what) const {
    const containers::Tensor& t = tensor(what);
    std::vector<float> v;
    if (t.dtype == DType::f16) {
      for (const f16 h : values<f16>(what)) v.push_back(to_float(h));
    } else if (t.dtype == DType::bf16) {
      for (const bf16 h : values<bf16>(what)) v.push_back(to_float(h));
    } else {
      v = values<float>(what);
    }
    return v;
  }
  // The input as a matrix; one of rank 1 is a row.
  View input() const {
    const View v = tensor("input").view();
    return v.rank == 2 ? v : View(v.data, v.dtype, {1, v.elements()});
  }

 private:
  const Case* case_ = nullptr;
};

std::vector<std::uint32_t> bits(const std::vector<float>& v) {
  std::vector<std::uint32_t> b(v.size());
  std::memcpy(b.data(), v.data(), v.size() * sizeof(float));
  return b;
}

class FourBits : public FromBitsandbytes {
 protected:
  Matrix matrix() const {
    const json& about = current().about;
    Matrix m;
    m.format = format_from_name(about["quant_type"].get<std::string>()).value();
    m.out = input()[0], m.in = input()[1];
    m.block = about["blocksize"].get<std::int64_t>();
    m.decoded = input().dtype;
    return m;
  }
  // bitsandbytes' own scales, decoded when they are nested.
  std::vector<float> scales() const {
    if (!current().about["nested"].get<bool>()) return values<float>("absmax");
    const auto codes = values<std::uint8_t>("absmax");
    std::vector<float> out(codes.size());
    const float offset = std::strtof(current().about["offset"].get<std::string>().c_str(), nullptr);
    decode_scales(codes, values<float>("nested_absmax"), values<float>("nested_quant_map"), NestedScales::kBlock,
                  offset, out);
    return out;
  }
};

TEST_F(FourBits, DecodedValues) {
  for_each(both({"4bit"}), [this] {
    Matrix m = matrix();
    const auto codes = values<std::uint8_t>("codes");
    const auto scale = scales();
    m.codes = View(codes.data(), DType::u8, {static_cast<std::int64_t>(codes.size())});
    m.scales = View(scale.data(), DType::f32, {static_cast<std::int64_t>(scale.size())});
    std::vector<float> ours(static_cast<std::size_t>(m.elements()));
    for (std::int64_t o = 0; o < m.out; ++o) {
      decode(m, o, 0, std::span(ours).subspan(static_cast<std::size_t>(o * m.in), static_cast<std::size_t>(m.in)));
    }
    // The CPU's compiled decoder takes a wrong scale where blocks cross rows; its portable one does not.
    const auto theirs = floats(has("decoded_torch") ? "decoded_torch" : "decoded");
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      if (std::fabs(theirs[i]) < 1.2e-38f && std::fabs(ours[i]) < 1.2e-38f) continue;  // GPUs flush subnormals, in fp32
      ASSERT_EQ(ours[i], theirs[i]) << "element " << i;
    }
  });
}

TEST_F(FourBits, CodeTable) {
  for_each(both({"4bit"}), [this] {
    const auto theirs = values<float>("quant_map");
    for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(code_values(matrix().format)[i], theirs[i]) << i;
  });
}

// A GPU's reciprocal of a block's scale may be one unit in the last place off. Where that alone moves a value over the
// border between two codes, the other code is right as well.
class FourBitsEncode : public FourBits {
 protected:
  void same_codes(const Matrix& m, const std::vector<std::uint8_t>& theirs) const {
    const auto* ours = m.codes.as<const std::uint8_t>();
    ASSERT_EQ(m.code_bytes(), theirs.size());
    const auto x = floats("input");
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      for (const std::size_t half : {0, 1}) {
        const int shift = half == 0 ? 4 : 0, a = ours[i] >> shift & 15, b = theirs[i] >> shift & 15;
        if (a == b) continue;
        const std::size_t at = 2 * i + half;
        ASSERT_LT(at, x.size());
        const float scale = m.scales.as<const float>()[at / static_cast<std::size_t>(m.block)];
        const auto& values = code_values(m.format);
        const float border = (values[static_cast<std::size_t>(a)] + values[static_cast<std::size_t>(b)]) / 2;
        // fp4's borders are given in few digits: up to 3e-7 from the middle.
        ASSERT_NEAR(x[at] / scale, border, 4e-7) << "element " << at << ": our code " << a << ", theirs " << b;
      }
    }
  }
};

TEST_F(FourBitsEncode, CodesAndScales) {
  for_each(cases("cuda", {"4bit"}), [this] {
    Matrix m = matrix();
    std::vector<std::uint8_t> codes(m.code_bytes());
    std::vector<float> scale(static_cast<std::size_t>(m.blocks()));
    m.codes = View(codes.data(), DType::u8, {static_cast<std::int64_t>(codes.size())});
    m.scales = View(scale.data(), DType::f32, {m.blocks()});
    encode(input(), m, 0, m.units());
    same_codes(m, values<std::uint8_t>("codes"));
    if (!current().about["nested"].get<bool>()) {
      EXPECT_EQ(bits(scale), bits(values<float>("absmax")));
      return;
    }
    const NestedScales nested = encode_scales(scale);
    const float offset = std::strtof(current().about["offset"].get<std::string>().c_str(), nullptr);
    // The mean is a sum in an order of their own; what follows from it is compared with theirs.
    EXPECT_NEAR(nested.offset, offset, 2e-7 * std::fabs(offset));
    const auto their_codes = values<std::uint8_t>("absmax");
    ASSERT_EQ(nested.codes.size(), their_codes.size());
    std::size_t other = 0;
    for (std::size_t i = 0; i < their_codes.size(); ++i) {
      other += nested.codes[i] != their_codes[i] ? 1 : 0;
    }
    EXPECT_LE(other, nested.offset == offset ? 0u : 1 + their_codes.size() / 100);
    const auto theirs = values<float>("nested_absmax");
    ASSERT_EQ(nested.scales.size(), theirs.size());
    for (std::size_t i = 0; i < theirs.size(); ++i)
      EXPECT_NEAR(nested.scales[i], theirs[i], 2e-7 * std::fabs(offset)) << i;
    const auto map = values<float>("nested_quant_map");
    for (std::size_t i = 0; i < 256; ++i) ASSERT_EQ(dynamic_map()[i], map[i]) << i;
  });
}

class Int8Weights : public FromBitsandbytes {};

TEST_F(Int8Weights, CodesAndScales) {
  for_each(both({"int8-weight"}), [this] {
    Matrix m;
    m.format = Format::int8;
    m.out = input()[0], m.in = input()[1];
    std::vector<std::int8_t> codes(static_cast<std::size_t>(m.elements()));
    std::vector<float> scale(static_cast<std::size_t>(m.out));
    m.codes = View(codes.data(), DType::i8, {m.out, m.in});
    m.scales = View(scale.data(), DType::f32, {m.out});
    encode(input(), m, 0, m.out);
    EXPECT_EQ(codes, values<std::int8_t>("codes"));
    EXPECT_EQ(bits(scale), bits(values<float>("scb")));
    const auto theirs = floats("decoded");
    for (std::int64_t o = 0; o < m.out; ++o) {
      std::vector<float> ours(static_cast<std::size_t>(m.in));
      decode(m, o, 0, ours);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        const float want = theirs[static_cast<std::size_t>(o * m.in) + i];
        if (std::isnan(want)) continue;  // an infinite scale
        EXPECT_EQ(ours[i], want) << o << ", " << i;
      }
    }
  });
}

class Int8Activations : public FromBitsandbytes {};

TEST_F(Int8Activations, CodesScalesAndOutliers) {
  for_each(both({"int8-activation"}), [this] {
    const auto x = floats("input");
    const std::int64_t rows = input()[0], in = input()[1];
    const auto threshold = current().about["threshold"].get<float>();
    std::vector<std::uint8_t> flags(static_cast<std::size_t>(in), 0);
    std::vector<std::int64_t> columns;
    for (std::int64_t i = 0; i < rows * in; ++i) {
      if (threshold > 0 && std::fabs(x[static_cast<std::size_t>(i)]) >= threshold)
        flags[static_cast<std::size_t>(i % in)] = 1;
    }
    for (std::int64_t i = 0; i < in; ++i) {
      if (flags[static_cast<std::size_t>(i)] != 0) columns.push_back(i);
    }
    EXPECT_EQ(columns, values<std::int64_t>("outlier_columns"));
    const auto codes = values<std::int8_t>("codes");
    const auto stats = values<float>("row_stats");
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto first = static_cast<std::size_t>(r * in), n = static_cast<std::size_t>(in);
      const Activations a = encode_activations(std::span(x).subspan(first, n), threshold, flags);
      EXPECT_EQ(a.scale, stats[static_cast<std::size_t>(r)]) << "row " << r;
      EXPECT_TRUE(std::equal(a.codes.begin(), a.codes.end(), codes.begin() + r * in)) << "row " << r;
    }
  });
}

}  // namespace
}  // namespace pkv::quant
