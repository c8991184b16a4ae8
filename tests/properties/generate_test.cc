// A seed gives one text: with the past and without it, for any number of threads, in a batch or alone, from a past that
// held something already, in one go or in two. For every bundled causal model, every table and several formats.
#include "engine/generate/generate.h"

#include <gtest/gtest.h>

#include "support/models.h"

namespace pkv::generate {
namespace {

using Ids = std::vector<std::int32_t>;

struct Case {
  std::filesystem::path folder;
  std::string table, format;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.folder.filename().string() << " " << c.table << " " << c.format;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& folder : support::model_folders(support::source() / "models")) {
    if (!model::inspect(hf::Folder::open(folder)).card.causal) continue;
    for (const kernels::Ops* ops : kernels::tables()) {
      for (const char* format : {"fp32", "bf16", "int8", "nf4"})
        all.push_back({folder, std::string(ops->name), format});
    }
  }
  return all;
}

model::LoadOptions load_in(const std::string& format) {
  if (const auto dtype = from_name(format); dtype && is_float(*dtype)) return {.dtype = dtype};
  return {.quantize = model::Quantize{.format = quant::format_from_name(format).value()}};
}

class OneText : public testing::TestWithParam<Case> {
 protected:
  // Plain loops under a sanitizer are slow; and what is done with logits is the same under every instruction set.
  static bool few() { return support::is_slow(GetParam().table) || support::under_lesser_set(); }

  model::Model load(int threads) const {
    return support::load(GetParam().folder, GetParam().table, threads, load_in(GetParam().format));
  }

  model::Model model_ = load(2);
};

// Settings that between them use every filter; one text grows beyond a block of the past. `few`: two of them, and
// shorter texts.
struct Draw {
  Ids prompt;
  Options options;
};

std::vector<Draw> draws(const model::Card& card, bool few) {
  const std::vector<Sampling> settings{
      {.do_sample = true, .seed = 1},
      {.do_sample = true, .temperature = 1.4, .top_k = 0, .seed = 2},
      {.do_sample = true, .temperature = 0.8, .top_k = 0, .top_p = 0.9, .repetition_penalty = 1.2, .seed = 3},
      {.do_sample = true, .top_k = 100, .top_p = 0.95, .min_p = 0.02, .seed = ~0ull},
      {.repetition_penalty = 1.3},
  };
  std::vector<Draw> all;
  for (std::size_t i = few ? 2 : 0; i < settings.size(); i += few ? 2 : 1) {
    const std::int64_t length = i == 1 ? 61 : 3 + static_cast<std::int64_t>(i);
    all.push_back({support::random_ids(i, length, card.vocab),
                   {.max_new_tokens = few ? 4 : 7, .sampling = settings[i], .logits_hash = true}});
  }
  return all;
}

void expect_same(const Sequence& expected, const Sequence& found, const std::string& how) {
  EXPECT_EQ(found.ids, expected.ids) << how;
  EXPECT_EQ(found.logits_hash, expected.logits_hash) << how;
  EXPECT_EQ(found.finish, expected.finish) << how;
}

TEST_P(OneText, HoweverItIsWritten) {
  const model::Model one = load(1), three = load(3);
  for (const Draw& d : draws(model_.card(), few())) {
    const Sequence expected = run(model_, d.prompt, d.options).sequences[0];
    Options other = d.options;
    other.use_past = false;
    expect_same(expected, run(model_, d.prompt, other).sequences[0], "without past");
    other = d.options;
    other.chunk = 2;
    expect_same(expected, run(model_, d.prompt, other).sequences[0], "prompt fed in twos");
    expect_same(expected, run(one, d.prompt, d.options).sequences[0], "one thread");
    expect_same(expected, run(three, d.prompt, d.options).sequences[0], "three threads");

    model::Past past = model_.new_past();
    const Ids elsewhere{d.prompt[0], d.prompt[1], (d.prompt[2] + 1) % static_cast<std::int32_t>(model_.card().vocab),
                        5};
    support::feed(model_, past, elsewhere);
    const Result reused = run(model_, past, d.prompt, d.options);
    EXPECT_EQ(reused.reused, 2);
    expect_same(expected, reused.sequences[0], "from a past that parts after two tokens");
  }
}

TEST_P(OneText, InOneGoOrInTwo) {
  for (const Draw& d : draws(model_.card(), true)) {
    const Ids expected = run(model_, d.prompt, d.options).sequences[0].ids;
    model::Past past = model_.new_past();
    Options half = d.options;
    half.max_new_tokens = 2;
    Ids text = d.prompt;
    const Ids begun = run(model_, past, text, half).sequences[0].ids;
    text.insert(text.end(), begun.begin(), begun.end());
    half.max_new_tokens = d.options.max_new_tokens - 2;
    const Ids rest = run(model_, past, text, half).sequences[0].ids;
    text.insert(text.end(), rest.begin(), rest.end());
    EXPECT_EQ(Ids(text.begin() + static_cast<std::ptrdiff_t>(d.prompt.size()), text.end()), expected);
  }
}

TEST_P(OneText, InABatchOrAlone) {
  for (const Draw& d : draws(model_.card(), few())) {
    if (!d.options.sampling.do_sample) continue;
    Options batch = d.options;
    batch.num_sequences = 3;
    for (const bool use_past : {true, false}) {
      batch.use_past = use_past;
      const Result together = run(model_, d.prompt, batch);
      for (std::size_t i = 0; i < 3; ++i) {
        Options alone = d.options;
        alone.sampling.seed = d.options.sampling.seed + i;
        EXPECT_EQ(together.sequences[i].seed, alone.sampling.seed);
        expect_same(run(model_, d.prompt, alone).sequences[0], together.sequences[i],
                    "sequence " + std::to_string(i) + (use_past ? " with past" : " without past"));
      }
    }
  }
}

TEST_P(OneText, AnotherSeedGivesAnotherText) {
  const Ids prompt = support::random_ids(1, 4, model_.card().vocab);
  const Options options{.max_new_tokens = 6, .sampling = {.do_sample = true, .temperature = 3}, .num_sequences = 3};
  const Result r = run(model_, prompt, options);
  EXPECT_FALSE(r.sequences[0].ids == r.sequences[1].ids && r.sequences[1].ids == r.sequences[2].ids);
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  return support::test_name(test.param.folder.filename().string() + "_" + test.param.table + "_" + test.param.format);
}

INSTANTIATE_TEST_SUITE_P(Bundled, OneText, testing::ValuesIn(cases()), name_of);

}  // namespace
}  // namespace pkv::generate
