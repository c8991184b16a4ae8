#include "files/gguf/ggml_types.h"

#include <algorithm>
#include <array>

namespace pkv::gguf {
namespace {

constexpr std::string_view kThreeBits = "the same model in Q3_K_M, Q4_K_M or IQ4_XS can be read";
constexpr std::string_view kTwoBits = "the same model in Q2_K or a larger format can be read";
constexpr std::string_view kLater = "the same model in Q2_K, TQ2_0 or a larger format can be read";

// Left out: 4, 5, 31 to 33 and 36 to 38, which ggml has taken back; 9 and 15 (Q8_1, Q8_K), which exist only while it
// computes.
constexpr std::array<GgmlType, 33> kTypes{{
    {0, "F32", 1, 4},
    {1, "F16", 1, 2},
    {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},
    {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},
    {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},
    {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},
    {16, "IQ2_XXS", 256, 66, kTwoBits},
    {17, "IQ2_XS", 256, 74, kTwoBits},
    {18, "IQ3_XXS", 256, 98, kThreeBits},
    {19, "IQ1_S", 256, 50, kTwoBits},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110, kThreeBits},
    {22, "IQ2_S", 256, 82, kTwoBits},
    {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},
    {25, "I16", 1, 2},
    {26, "I32", 1, 4},
    {27, "I64", 1, 8},
    {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56, kTwoBits},
    {30, "BF16", 1, 2},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18, kLater},
    {42, "Q2_0", 64, 18, kLater},
}};

}  // namespace

const GgmlType* find_type(std::uint32_t id) {
  const auto* found = std::ranges::find(kTypes, id, &GgmlType::id);
  return found == kTypes.end() ? nullptr : found;
}

std::optional<quant::ElementType> readable_as(const GgmlType& type) {
  if (const auto dtype = from_safetensors_name(type.name)) return *dtype;
  if (const auto format = quant::format_from_name(type.name)) return *format;
  return std::nullopt;
}

}  // namespace pkv::gguf
