#include "engine/kernels/numerics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <set>
#include <vector>

#include "base/checksum.h"
#include "engine/kernels/dry_run.h"
#include "support/blocks.h"

namespace pkv::kernels {
namespace {

Numerics probe(const char* table, int threads = 1) { return probe_numerics(Backend(table, threads)); }

TEST(Numerics, EachOperationIsProbedOnce) {
  const Numerics cpu = probe("cpu");
  std::set<std::string> names;
  for (const ProbedOperation& p : cpu.operations) {
    EXPECT_TRUE(names.insert(p.name).second) << p.name;
    EXPECT_FALSE(p.results.empty()) << p.name;
    EXPECT_TRUE(std::ranges::all_of(p.results, [](float x) { return std::isfinite(x); })) << p.name;
  }
}

// Or a model of that format could not save its past.
TEST(Numerics, EveryFormatThatLinearTakesIsProbed) {
  const Numerics naive = probe("naive");
  for (const quant::Format format : quant::formats()) {
    if (quant::traits(format).most_columns == 0) continue;
    const std::string name = "linear " + std::string(quant::name_of(format));
    EXPECT_EQ(std::ranges::count(naive.operations, name, &ProbedOperation::name), 1) << name;
  }
}

TEST(Numerics, ThreadsMakeNoDifference) {
  const Numerics one = probe("cpu", 1), three = probe("cpu", 3);
  for (std::size_t i = 0; i < one.operations.size(); ++i) {
    EXPECT_EQ(one.operations[i].results, three.operations[i].results) << one.operations[i].name;
  }
}

// Pasts that were saved before operations were told apart hold this hash: an operation that is added may not change it.
TEST(Numerics, TheFirstOnesAreHashedWithoutThoseAddedSince) {
  Numerics cpu = probe("cpu");
  std::vector<float> all;
  for (std::size_t i = 0; i < cpu.first; ++i) {
    all.insert(all.end(), cpu.operations[i].results.begin(), cpu.operations[i].results.end());
  }
  EXPECT_EQ(cpu.first, 26u) << "norm, 3 formats of linear and attend, 15 functions, 3 quantised formats, rotary";
  const std::uint64_t before = cpu.hash_of_first();
  EXPECT_EQ(before, checksum(std::as_bytes(std::span(all))));
  cpu.operations.push_back({.name = "gate", .results = {1, 2, 3}});
  EXPECT_EQ(cpu.hash_of_first(), before);
  cpu.operations[3].results[0] = std::nextafter(cpu.operations[3].results[0], 9.f);
  EXPECT_NE(cpu.hash_of_first(), before);
}

// How far a table in fp32 may be from the definition in double. Inputs are of magnitude 2 at most. A sum of n products
// of magnitude s altogether is off by 3 (sqrt(n) + 4) units of s, as in tests/kernels/linear_test.cc.
double allowed(const std::string& name) {
  constexpr double kUnit = 0x1p-24, kProduct = 4;
  const auto sum = [&](double n) { return 3 * (std::sqrt(n) + 4) * kUnit * kProduct * n; };
  // Weights double what is normalised; tests/kernels/rows_test.cc has the reason for the rest.
  if (name == "norm" || name == "norm rms") return 2 * 16 * kUnit * (4 + std::sqrt(70.));
  if (name.starts_with("rotary"))
    return 16 * kUnit;  // two products of values <= 2 by a sine within 2 units each, and a sum
  if (name.starts_with("act ")) {
    const double steepest = 2 * 8 * kProduct;  // of all functions: relu(x)^2 at the largest sum of 8 products
    return steepest * sum(8) + 16 * kUnit * steepest * steepest;
  }
  if (name.starts_with("attend ")) {                    // as in tests/kernels/attend_test.cc, of values <= 2
    const double score = 0.2 * 24 * kProduct + 2 * 69;  // scale, head_dim, products; slope and distance
    return 2 * 4 * kUnit * (8 + std::sqrt(24.) + score + std::log2(71.));
  }
  if (name == "gate") return 4 * kUnit * (5 + 1) * 2 * 2;  // silu within 5 units, a product of values <= 2
  if (name == "xielu") return 4 * kUnit * 8 * (4 + 2);     // products of parameters and values <= 2, e^2 - 3 at most
  if (name == "soft cap")
    return 4 * kUnit * (3 + 3) * 6;             // tanh within 3 units, products and a quotient of values <= 6
  if (name == "add") return 2 * kUnit * 2 * 2;  // a product and a sum of values <= 2
  if (name == "convolve") return 2 * 4 * kUnit * kProduct * 5;  // four products and a bias, each rounded with its sum
  // As in tests/kernels/states_test.cc: of ten sums over twelve keys, of matrices that are no larger than 5 * 2 * 2.
  if (name.starts_with("recur")) return 4 * kUnit * 10 * (std::sqrt(12.) + 8) * 20;
  if (name.starts_with("route "))  // quotients of exponentials of values <= 4 apart, sums of 12, a factor of 1.5
    return 4 * kUnit * (5 + 12) * 1.5;
  if (name == "mix") return sum(5);
  if (name == "gate limited") return 4 * kUnit * (5 + 2) * 1.5 * 2.5;  // as gate; a factor of at most 1 + 1.5
  for (const quant::Format format : quant::formats()) {
    if (quant::traits(format).scaling != quant::Scaling::inside ||
        name != "linear " + std::string(quant::name_of(format)))
      continue;
    // Activations of up to 2 are rounded to steps of 2 / 16383, each by itself: six standard deviations of the sum of
    // 576. Scales of 16 bits are below 0.91, a minimum adds at most 0.4 of the largest product of scales and code.
    constexpr double kInputs = 576;
    const bool sixteen = support::scales_of(format).at[0] >= 0;
    const double exponent = format == quant::Format::mxfp4 ? 0x1p-68 : 1;  // of a byte below 0x3c
    const double weight = sixteen ? 0.91 * 1.4 * support::scales_of(format).most : 12 * exponent;
    const double step = 2. / 16383;
    return weight * (6 * step / std::sqrt(12.) * std::sqrt(kInputs) + 64 * kUnit * 2 * std::sqrt(kInputs));
  }
  const bool quantised = name == "linear int8" || name == "linear fp4" || name == "linear nf4";
  return quantised ? 64 * kUnit * kProduct * 192 : sum(1100);  // tests/kernels/quantized_test.cc
}

TEST(Numerics, TablesAreNearTheDefinitionAndOfTheirOwnBits) {
  const Numerics naive = probe("naive");
  std::set<std::uint64_t> hashes{naive.hash_of_first()};
  for (const char* table : {"cpu", "cuda-model"}) {
    const Numerics numerics = probe(table);
    ASSERT_EQ(numerics.operations.size(), naive.operations.size());
    EXPECT_TRUE(hashes.insert(numerics.hash_of_first()).second) << table;
    for (std::size_t i = 0; i < naive.operations.size(); ++i) {
      const ProbedOperation &got = numerics.operations[i], &want = naive.operations[i];
      ASSERT_EQ(got.name, want.name);
      ASSERT_EQ(got.results.size(), want.results.size());
      for (std::size_t j = 0; j < got.results.size(); ++j) {
        ASSERT_NEAR(got.results[j], want.results[j], allowed(got.name))
            << table << ", " << got.name << ", result " << j;
      }
    }
  }
}

// The entries of a table from `embed` on, which are its operations.
std::vector<const void*> operations_of(const Ops& ops) {
  std::vector<const void*> entries((sizeof(Ops) - offsetof(Ops, embed)) / sizeof(void*));
  std::memcpy(entries.data(), reinterpret_cast<const std::byte*>(&ops) + offsetof(Ops, embed),
              entries.size() * sizeof(void*));
  return entries;
}

// An operation that dry_run.cc forgets would be computed, and saved pasts would not depend on it.
TEST(DryRun, StandsInForEveryOperationOfAForward) {
  const Backend cpu("cpu", 1);
  const DryRun dry(cpu);
  const auto real = operations_of(cpu.ops()), instead = operations_of(dry.backend().ops());
  std::size_t same = 0;
  for (std::size_t i = 0; i < real.size(); ++i) same += real[i] == instead[i] ? 1 : 0;
  EXPECT_EQ(cpu.ops().encode, dry.backend().ops().encode);
  EXPECT_EQ(cpu.ops().decode, dry.backend().ops().decode);
  EXPECT_EQ(same, 2U) << "all but encode and decode, which no forward asks for";
}

TEST(DryRun, NotesWhatIsAskedForAndComputesNothing) {
  const Backend naive("naive", 1);
  std::vector<float> x{1, 2}, out{7, 7};
  const View row(x.data(), DType::f32, {1, 2}), to(out.data(), DType::f32, {1, 2});
  {
    const DryRun dry(naive);
    Device& device = dry.backend().device();
    EXPECT_EQ(&device, &naive.device());
    dry.backend().ops().norm(device, {.x = row, .weight = row, .out = to});
    dry.backend().ops().convert(device, {.from = row, .to = to});
    dry.backend().ops().linear(device, {.x = row, .weight = row, .out = to, .act = Act::gelu_tanh});
    EXPECT_EQ(dry.names(), (std::set<std::string>{"norm", "linear fp32", "act gelu_new"}));
    EXPECT_EQ(out, (std::vector<float>{7, 7}));
    const DryRun inner(naive);
    inner.backend().ops().rotate(device, {});
    EXPECT_EQ(inner.names(), std::set<std::string>{"rotary"});
    EXPECT_EQ(dry.names().count("rotary"), 0u);
  }
  naive.ops().convert(naive.device(), {.from = row, .to = to});
  EXPECT_EQ(out, x);
}

}  // namespace
}  // namespace pkv::kernels
