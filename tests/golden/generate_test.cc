// Our texts and what our draws are made from against transformers': tests/golden/generate/ is made by
// tools/make_generate_goldens.py.
#include "engine/generate/generate.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/generate/stop.h"
#include "support/models.h"
#include "text/text.h"

namespace pkv::generate {

static void PrintTo(const Candidate& c, std::ostream* os) { *os << c.id << ": " << c.score; }

namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

json read(const std::string& name) {
  std::ifstream file(support::source() / "tests" / "golden" / "generate" / name);
  return json::parse(file);
}

Sampling sampling_of(const json& settings) {
  return {.do_sample = true,
          .temperature = settings.value("temperature", 1.0),
          .top_k = settings.value("top_k", std::int64_t{50}),
          .top_p = settings.value("top_p", 1.0),
          .min_p = settings.value("min_p", 0.0),
          .repetition_penalty = settings.value("repetition_penalty", 1.0)};
}

TEST(GenerateGolden, DrawsAreMadeFromWhatTransformersLeaves) {
  const json golden = read("scores.json");
  for (const json& c : golden["cases"]) {
    const auto logits = golden["logits"][c["logits"].get<std::string>()].get<std::vector<float>>();
    const auto kept = Sampler(sampling_of(c["settings"])).kept(logits, c["text"].get<Ids>());
    std::vector<Candidate> expected;
    for (std::size_t i = 0; i < c["ids"].size(); ++i) expected.push_back({c["scores"][i], c["ids"][i]});
    ASSERT_EQ(kept, expected) << c["logits"] << " " << c["settings"] << ": transformers leaves " << expected.size()
                              << " tokens, we " << kept.size();
  }
}

class GenerateGolden : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

Options options_of(const json& arguments, const model::Model& model) {
  Options o{.max_new_tokens = arguments["max_new_tokens"],
            .sampling = {.repetition_penalty = arguments.value("repetition_penalty", 1.0)}};
  const auto* own = model.source().generation_config();
  for (const auto id : own->integers({"eos_token_id"}, 0, 1 << 20)) o.eos_token_id.push_back(static_cast<int>(id));
  if (!arguments.contains("eos_token_id")) return o;
  o.eos_token_id.clear();
  if (arguments["eos_token_id"].is_array()) o.eos_token_id = arguments["eos_token_id"].get<Ids>();
  return o;
}

TEST_P(GenerateGolden, GreedyTextsEqualTransformers) {
  const auto [name, table] = GetParam();
  const auto folder = support::source() / "models" / name;
  const model::Model model = support::load(folder, table);
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  int compared = 0;
  const json golden = read("text.json");
  for (const json& c : golden["cases"]) {
    if (c["model"] != name || (support::is_slow(table) && c["ids"].size() > 60)) continue;
    const std::string prompt = c["prompt"];
    const Ids ids = tokenizer.encode(prompt);
    ASSERT_EQ(ids, c["prompt_ids"].get<Ids>());
    const json& arguments = c["arguments"];
    StopText stop(arguments.value("stop_strings", std::vector<std::string>{}), prompt);
    text::Tokenizer::Stream stream(tokenizer, false);  // transformers finds an "x" in "<|endoftext|>", too
    for (const std::int32_t id : ids) stream.push(id);
    const Events events{.token = [&](const Token& t) {
      stop.push(stream.push(t.id));
      return !stop.found();
    }};
    Ids found = run(model, ids, options_of(arguments, model), events).sequences[0].ids;
    const auto expected = c["ids"].get<Ids>();
    if (!c["complete"]) found.resize(std::min(found.size(), expected.size()));  // behind that, rounding may decide
    EXPECT_EQ(found, expected) << prompt << " " << arguments;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

std::vector<std::string> tables() {
  std::vector<std::string> names;
  for (const kernels::Ops* ops : kernels::tables()) names.emplace_back(ops->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Bundled, GenerateGolden,
                         testing::Combine(testing::Values("tiny-gpt2", "tiny-mpt", "tiny-falcon"),
                                          testing::ValuesIn(tables())),
                         [](const auto& test) {
                           return support::test_name(std::get<0>(test.param) + "_" + std::get<1>(test.param));
                         });

}  // namespace
}  // namespace pkv::generate
