// Our perplexity against transformers': tests/golden/perplexity/ is made by tools/make_perplexity_goldens.py.
#include "checker/perplexity/perplexity.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "subjects/engine.h"
#include "support/places.h"
#include "text/text.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The reference is an fp64 run; ours has fp32 logits, of size up to 16, whose rounding errors are around 1e-6 each and
// mostly cancel in the mean (transformers' own fp32 run is within 1.4e-7). A window off by one token moves the mean by
// more than 1e-5.
constexpr double kRelative = 1e-6;

const fs::path kSource = support::source();

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const json& expected() {
  static const json all = json::parse(read(kSource / "tests/golden/perplexity/expected.json"));
  return all;
}

class PerplexityGolden : public testing::TestWithParam<std::size_t> {};

TEST_P(PerplexityGolden, EqualsTransformers) {
  const json& golden = expected()["cases"][GetParam()];
  const fs::path folder = kSource / "models" / golden["model"].get<std::string>();
  subjects::EngineSubject subject(model::load(hf::Folder::open(folder), kernels::Backend("cpu", 2)), "");
  const std::string text = read(kSource / "tests/golden/perplexity/text.txt");
  text::Tokenizer::Reader reader(text::Tokenizer::load(folder));
  std::size_t at = 0;
  const auto next = [&](std::vector<std::int32_t>& ids) {
    const auto more = at < text.size() ? reader.push(std::string_view(text).substr(at, 1000)) : reader.finish();
    ids.insert(ids.end(), more.begin(), more.end());
    const bool goes_on = at < text.size();
    at += 1000;
    return goes_on;
  };
  WorkerPool pool(1);
  const perplexity::Result p = perplexity::run(
      subject, nullptr, next, {.context = expected()["context"], .stride = golden["stride"], .chunk = 100}, pool);
  EXPECT_EQ(p.tokens, golden["tokens"]);
  EXPECT_EQ(p.predicted(), golden["predicted"]);
  const double mean = golden["mean_nll"], error = golden["standard_error"];
  EXPECT_NEAR(p.nll.mean() / mean, 1, kRelative) << "expected " << mean << ", got " << p.nll.mean();
  EXPECT_NEAR(p.nll.standard_error() / error, 1, kRelative) << "expected " << error;
}

INSTANTIATE_TEST_SUITE_P(Cases, PerplexityGolden, testing::Range(std::size_t{0}, expected()["cases"].size()),
                         [](const auto& test) {
                           const json& c = expected()["cases"][test.param];
                           std::string name = c["model"].get<std::string>() + "_" + c["stride"].dump();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pkv::program
