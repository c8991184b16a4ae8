#include "engine/quant/ggml.h"

#include <algorithm>
#include <iterator>

namespace pkv::quant {
namespace {

constexpr std::string_view kThreeBits = "the same model in Q3_K_M, Q4_K_M or IQ4_XS can be read";
constexpr std::string_view kTwoBits = "the same model in Q2_K or a larger format can be read";
constexpr std::string_view kOnlyWhileComputing = "it exists only while ggml computes: the file is damaged";
constexpr std::string_view kLater = "the same model in Q2_K, TQ2_0 or a larger format can be read";

// Ascending. Left out: 4, 5, 31 to 33 and 36 to 38, which ggml has taken back.
constexpr GgmlType kTypes[] = {{0, "F32", DType::f32, {}},
                               {1, "F16", DType::f16, {}},
                               {2, "Q4_0", Format::q4_0, {}},
                               {3, "Q4_1", Format::q4_1, {}},
                               {6, "Q5_0", Format::q5_0, {}},
                               {7, "Q5_1", Format::q5_1, {}},
                               {8, "Q8_0", Format::q8_0, {}},
                               {9, "Q8_1", {}, kOnlyWhileComputing},
                               {10, "Q2_K", Format::q2_k, {}},
                               {11, "Q3_K", Format::q3_k, {}},
                               {12, "Q4_K", Format::q4_k, {}},
                               {13, "Q5_K", Format::q5_k, {}},
                               {14, "Q6_K", Format::q6_k, {}},
                               {15, "Q8_K", {}, kOnlyWhileComputing},
                               {16, "IQ2_XXS", {}, kTwoBits},
                               {17, "IQ2_XS", {}, kTwoBits},
                               {18, "IQ3_XXS", {}, kThreeBits},
                               {19, "IQ1_S", {}, kTwoBits},
                               {20, "IQ4_NL", Format::iq4_nl, {}},
                               {21, "IQ3_S", {}, kThreeBits},
                               {22, "IQ2_S", {}, kTwoBits},
                               {23, "IQ4_XS", Format::iq4_xs, {}},
                               {24, "I8", DType::i8, {}},
                               {25, "I16", DType::i16, {}},
                               {26, "I32", DType::i32, {}},
                               {27, "I64", DType::i64, {}},
                               {28, "F64", DType::f64, {}},
                               {29, "IQ1_M", {}, kTwoBits},
                               {30, "BF16", DType::bf16, {}},
                               {34, "TQ1_0", Format::tq1_0, {}},
                               {35, "TQ2_0", Format::tq2_0, {}},
                               {39, "MXFP4", Format::mxfp4, {}},
                               {40, "NVFP4", Format::nvfp4, {}},
                               {41, "Q1_0", {}, kLater},
                               {42, "Q2_0", {}, kLater}};

}  // namespace

const GgmlType* ggml_type(std::uint32_t number) {
  const auto* found = std::ranges::lower_bound(kTypes, number, {}, &GgmlType::number);
  return found != std::end(kTypes) && found->number == number ? found : nullptr;
}

}  // namespace pkv::quant
