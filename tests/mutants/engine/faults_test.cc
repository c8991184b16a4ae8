// Faults planted in the engine: each must be found and called by its name, on every bundled model that it has a meaning
// for, in every number format; a wrong name is a failure. What is measured is a row of the matrix in docs/causes.md:
// PKV_APPROVE=1 writes it there. PKV_MANY_FAULTS=1 tries more texts and splits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "checker/causes/cause.h"
#include "checker/check/check.h"
#include "files/containers/safetensors.h"
#include "subjects/engine.h"
#include "support/models.h"
#include "support/shell.h"

namespace pkv {
namespace {

using check::CauseId;
using check::Outcome;
using subjects::EngineSubject;
using Choice = check::Splits::Choice;
using Ids = std::vector<std::int32_t>;

// The bundled models, and odd little ones with random weights, which cost next to nothing.
const std::vector<std::string> kCausal{"tiny-gpt2", "tiny-mpt", "tiny-falcon"};
const std::vector<std::string> kSmall{"gpt2-plain", "mpt-three-heads", "falcon-40b-shape", "falcon-sequential-rotary",
                                      "roberta-decoder"};
// Those whose layers differ, in windows and rotation, or that normalise heads, cap scores or turn by the text's length.
const std::vector<std::string> kOfToday{"mistral-window",  "gemma2-windows",  "gemma3-pattern-2",
                                        "cohere2-windows", "smollm3-windows", "phi3-longrope-long",
                                        "hunyuan-heads",   "olmo3-windows",   "vaultgemma-capped"};
// And those whose layers keep a state. Where all do, or all but the last, faults of attention are nothing or others'.
const std::vector<std::string> kStates{"qwen35-biases-tied", "lfm2-mixed",  "lfm2-convolutions-alone", "qwen35-mixed",
                                       "qwen35-nets-alone",  "bamba-mixed", "bamba-scans-alone",       "mamba2-limits"};
// Those with experts: for what only such a model can get wrong.
const std::vector<std::string> kOfExperts{"gpt-oss-windows", "gpt-oss-types", "qwen3-moe-some-layers",
                                          "glm4-moe-groups"};
// Those whose routers give every other expert the score of the one before it: see `with_twins`.
constexpr const char* kTwins = " with twins";
const std::vector<std::string> kOfTwins{"mixtral-plain with twins", "olmoe-plain with twins",
                                        "qwen2-moe-shared with twins"};
const std::vector<std::string> kFormats{"fp32", "fp16", "bf16", "int8", "nf4"}, kFloats{"fp32", "fp16", "bf16"};

const std::vector<std::string> kFaults{"past-absent",
                                       "top-left-mask",
                                       "past-ignored",
                                       "new-tokens-alone",
                                       "position-restarted",
                                       "position-one-far",
                                       "position-one-short",
                                       "position-frozen",
                                       "alibi-over-new-tokens",
                                       "alibi-missing",
                                       "rotary-missing",
                                       "rotary-twice",
                                       "rotary-interleaved",
                                       "query-rotated-late",
                                       "rope-of-other-layers",
                                       "rope-of-length",
                                       "head-norms-missing",
                                       "soft-cap-missing",
                                       "windows-missing",
                                       "windows-swapped",
                                       "attends-both-ways",
                                       "later-tokens-seen",
                                       "one-key-too-many",
                                       "last-of-past-lost",
                                       "hole-in-past",
                                       "rows-and-heads-swapped",
                                       "heads-shifted",
                                       "values-shifted",
                                       "past-in-fp16",
                                       "past-in-bf16",
                                       "past-in-int8",
                                       "state-dropped",
                                       "conv-dropped",
                                       "first-token-only",
                                       "state-in-bf16",
                                       "step-differs",
                                       "past-of-another-text",
                                       "past-changed-in-place",
                                       "past-not-rewound",
                                       "state-not-rewound",
                                       "past-shared",
                                       "batch-rows-mixed",
                                       "rows-not-independent",
                                       "state-of-elsewhere=1",
                                       "state-of-elsewhere=5",
                                       "first-dropped=1",
                                       "first-dropped=3",
                                       "window=4",
                                       "window=7",
                                       "window=20",
                                       "layer-window=5",
                                       "layer-window=19",
                                       "window-of-call=5",
                                       "position-stops=6",
                                       "position-from-padding=3",
                                       "prefix-seen-whole=5",
                                       "not-deterministic",
                                       "sink-missing",
                                       "tie-broken-otherwise",
                                       "expert-batch"};

struct Case {
  std::string model, format;
  std::int64_t tokens;
  check::Splits splits;
};

bool many() { return std::getenv("PKV_MANY_FAULTS") != nullptr; }

// Every model; formats and texts take turns, other ones for each fault, and all of them are tried where many are
// wanted.
std::vector<Case> cases(const std::string& fault) {
  auto turn = static_cast<std::size_t>(std::find(kFaults.begin(), kFaults.end(), fault) - kFaults.begin());
  const bool in_int8 = fault == "rows-not-independent";
  const bool of_layers =
      std::ranges::any_of(std::array{"rope-of", "head-norms", "soft-cap", "windows-", "layer-window", "window=20"},
                          [&](const char* start) { return fault.starts_with(start); });

  const std::vector<Case> texts{{"", "", 12, {Choice::last}}, {"", "", 19, {Choice::listed, {13}}}, {"", "", 16, {}}};
  std::vector<Case> all;
  const auto add = [&](const std::string& model, std::vector<std::string> formats, const Case& text) {
    if (in_int8) formats = {"int8"};
    for (std::size_t f = 0; f < formats.size(); ++f) {
      if (many() || f == turn % formats.size()) all.push_back({model, formats[f], text.tokens, text.splits});
    }
    ++turn;
  };
  for (const std::string& model : kCausal) {
    add(model, kFormats, {"", "", 11, {Choice::listed, {7}}});
    if (many()) add(model, kFormats, {"", "", 24, {Choice::last}});
  }
  for (const std::string& model : kSmall) {
    for (const Case& text : texts) add(model, kFloats, text);
  }
  const std::size_t one = turn % kOfToday.size();
  for (std::size_t i = 0; i < kOfToday.size(); ++i) {
    if (of_layers || i == one) add(kOfToday[i], kFloats, {"", "", 40, {Choice::listed, {9, 24}}});
    if (of_layers || many()) add(kOfToday[i], kFloats, {"", "", 26, {Choice::listed, {21}}});
  }
  const bool of_states = std::ranges::any_of(std::array{"state-", "conv-dropped", "first-token", "step-"},
                                             [&](const char* start) { return fault.starts_with(start); });
  for (const std::string& model : kStates) {
    const bool any = model == kStates.front() && !fault.starts_with("past-in");  // it is stored in 16 bits
    if (of_states || any) add(model, kFloats, {"", "", 26, {Choice::listed, {9, 20}}});
  }
  if (fault == "sink-missing" || fault == "tie-broken-otherwise" || fault == "expert-batch") {
    for (const std::string& model : fault == "tie-broken-otherwise" ? kOfTwins : kOfExperts) {
      add(model, kFloats, {"", "", 60, {Choice::listed, {9, 24}}});
      add(model, kFloats, {"", "", 45, {Choice::listed, {5}}});
    }
  }
  all.push_back({"tiny-roberta", "fp32", 9, {Choice::last}});
  return all;
}

model::LoadOptions loaded_in(const std::string& format, const std::string& as) {
  model::LoadOptions options;
  options.context = 70;  // of models that have to be told
  if (format == "fp16") options.dtype = DType::f16;
  if (format == "bf16") options.dtype = DType::bf16;
  if (format == "int8" || format == "nf4") {
    options.quantize = model::Quantize{.format = format == "nf4" ? quant::Format::nf4 : quant::Format::int8};
  }
  if (as == "rows-not-independent") {
    options.int8_outliers_of_call = true;
    options.int8_threshold = 1.5f;  // the models are too small to have outliers beyond 6
  }
  return options;
}

std::string without_counts(std::string fault) {
  while (fault.find('=') != std::string::npos) {
    const std::size_t at = fault.find('='), end = std::min(fault.find('+', at), fault.size());
    fault.erase(at, end - at);
  }
  const std::size_t plus = fault.find('+');
  if (plus != std::string::npos) fault.replace(plus, 1, " + ");
  return fault;
}

// Where it is a fault at all: positions are but distances to ALiBi, so that new tokens alone are new tokens that ignore
// their past; a past in fp16 is not rounded to fp16, nor is one in bf16, of fewer digits; what attends both ways does
// so without a fault.
// A fault of texts that grow beyond a length needs such a text, and a window as wide as the text hides nothing.
bool means_anything(const model::Model& model, const std::string& fault, const std::string& format,
                    std::int64_t tokens = 1000) {
  if (fault == "new-tokens-alone" && model.card().positions == model::Positions::alibi) return false;
  if (fault == "past-in-" + format || (fault == "past-in-fp16" && format == "bf16")) return false;
  if (fault == "rows-not-independent" && format != "int8") return false;
  const auto& windows = model.card().windows;
  const std::int64_t widest = windows.empty() ? 0 : std::ranges::max(windows);
  if (fault.starts_with("windows-") && tokens <= widest) return false;
  const std::size_t sign = fault.find("window=");
  if (sign != std::string::npos && std::strtoll(fault.c_str() + sign + 7, nullptr, 10) >= tokens) return false;
  if (fault == "rope-of-length" && tokens <= model.card().short_texts) return false;
  if (!model.card().causal && fault != "past-absent" && fault != "new-tokens-alone") return false;
  try {
    subjects::implementation(fault, model.card());
    return true;
  } catch (const Error&) {
    return false;
  }
}

// A copy of a golden model in which row 2i of each router stands in row 2i + 1, too.
std::filesystem::path with_twins(const std::string& name) {
  const auto from = support::golden_data() / name, to = std::filesystem::path(testing::TempDir()) / (name + kTwins);
  std::filesystem::create_directories(to);
  std::filesystem::copy_file(from / "config.json", to / "config.json",
                             std::filesystem::copy_options::overwrite_existing);
  std::string bytes = support::read(from / "model.safetensors");
  const containers::SafeTensors file = containers::SafeTensors::open(from / "model.safetensors");
  const std::string_view whole = bytes;
  for (const containers::Tensor& t : file.tensors()) {
    if (!t.name.ends_with("gate.weight")) continue;
    const std::string_view own(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    const std::size_t at = whole.find(own), row = own.size() / static_cast<std::size_t>(t.shape[0]);
    for (std::size_t i = 0; 2 * i + 1 < static_cast<std::size_t>(t.shape[0]); ++i) {
      bytes.replace(at + (2 * i + 1) * row, row, std::string(own.substr(2 * i * row, row)));
    }
  }
  write_file(to / "model.safetensors", bytes);
  return to;
}

model::Model loaded(const std::string& model, const std::string& format, const std::string& as = {}) {
  if (const std::size_t twins = model.find(kTwins); twins != model.npos) {
    return support::load(with_twins(model.substr(0, twins)), "cpu", 1, loaded_in(format, as));
  }
  const bool bundled = model.starts_with("tiny-");
  const auto root = bundled ? support::source() / "models" : support::golden_data();
  return support::load(root / model, "cpu", 1, loaded_in(format, as));
}

check::Report run(const std::string& as, const Case& c) {
  subjects::EngineSubject subject(loaded(c.model, c.format, as), c.model, {.as = as});
  const Ids ids = support::random_ids(static_cast<std::uint64_t>(c.tokens), c.tokens, subject.model().card().vocab);
  return check::run(subject, ids, {.splits = c.splits});
}

std::string named(const check::Report& report) {
  if (report.verdict.holds()) return "nothing";
  return report.causes.empty() || !report.causes.front().confirmed ? "unknown" : report.causes.front().cause;
}

// Rows of docs/causes.md, from "| `fault` |" to the line's end.
void expect_documented(const std::string& fault, const std::string& row) {
  const auto path = support::source() / "docs" / "causes.md";
  std::ostringstream read;
  read << std::ifstream(path).rdbuf();
  std::string text = read.str();
  const std::string start = fmt::format("| `{}` | ", fault);
  const std::size_t at = text.find("\n" + start, text.find("Every fault, found and named"));
  ASSERT_NE(at, std::string::npos) << "no row for " << fault << " in " << path;
  const std::size_t end = text.find('\n', at + 1);
  const std::string documented = text.substr(at + 1, end - at - 1);
  if (std::getenv("PKV_APPROVE") != nullptr) {
    text.replace(at + 1, end - at - 1, row);
    std::ofstream(path) << text;
  } else {
    EXPECT_EQ(documented, row) << "in " << path << "; PKV_APPROVE=1 writes it";
  }
}

class Faults : public testing::TestWithParam<std::string> {};

TEST_P(Faults, AreFoundAndNamed) {
  const std::string& fault = GetParam();
  std::map<std::string, int> names;
  int checks = 0;
  std::int64_t feeds = 0;
  for (const Case& c : cases(fault)) {
    if (!means_anything(loaded(c.model, c.format), fault, c.format, c.tokens)) continue;
    const check::Report report = run(fault, c);
    names[named(report)]++, checks++;
    feeds += report.explaining_feeds;
    EXPECT_EQ(named(report), without_counts(fault)) << c.format << "\n" << show::as_text(check::document(report));
  }
  EXPECT_GT(checks, 0) << "no model here that " << fault << " has a meaning for";
  std::string others;
  for (const auto& [name, count] : names) {
    if (name == without_counts(fault) || name == "nothing") continue;
    others += fmt::format("{}`{}` {}", others.empty() ? "" : ", ", name, count);
  }
  const std::string row = fmt::format("| `{}` | {} | {} | {} | {} |", fault, checks, names[without_counts(fault)],
                                      others.empty() ? "0" : others, names["nothing"]);
  fmt::print("{} {} feeds for each\n", row, checks > 0 ? feeds / checks : 0);
  if (!many()) expect_documented(fault, row);
}

INSTANTIATE_TEST_SUITE_P(Planted, Faults, testing::ValuesIn(kFaults),
                         [](const auto& test) { return support::test_name(test.param); });

// What a row of the list promises, somebody has to plant and somebody has to look for.
TEST(EveryCause, IsDocumented) {
  std::ostringstream read;
  read << std::ifstream(support::source() / "docs" / "causes.md").rdbuf();
  const std::string causes = read.str().substr(0, read.str().find("Every fault, found and named"));
  for (const check::Cause& c : check::all_causes()) {
    EXPECT_NE(causes.find(fmt::format("`{}`", c.name)), std::string::npos) << c.name << " is missing in docs/causes.md";
  }
}

TEST(EveryCause, IsPlantedAndSimulated) {
  std::vector<model::Card> cards;
  for (const auto* models : {&kSmall, &kOfToday, &kStates, &kOfExperts}) {
    for (const std::string& model : *models) cards.push_back(loaded(model, "fp32").card());
  }
  for (const check::Cause& c : check::all_causes()) {
    const std::string name(c.name);
    if (c.id != CauseId::rounding && !c.recorded.only) {  // a fault, and one of the engine's
      EXPECT_NO_THROW(subjects::require_implementation(name)) << name << " has no plant in subjects";
      EXPECT_TRUE(std::ranges::any_of(kFaults, [&](const auto& f) { return without_counts(f) == name; }))
          << name << " is missing among the faults of this test";
    }
    const session::Supposition supposed{c.id, c.number.example};
    const auto simulates = [&](const model::Card& card) {
      return subjects::fault_of({&supposed, 1}, card).has_value();
    };
    EXPECT_EQ(std::ranges::any_of(cards, simulates), c.supposed) << name;
  }
}

class Healthy : public testing::TestWithParam<std::string> {};

TEST_P(Healthy, RaisesNothing) {
  const std::string& format = GetParam();
  for (const std::string& model : kCausal) {
    for (const std::int64_t tokens : {2, 5, 17}) {
      const check::Report report = run("", {model, format, tokens, {}});
      EXPECT_EQ(report.verdict.outcome, Outcome::identical) << show::as_text(check::document(report));
      EXPECT_EQ(report.causality.holds, check::Answer::yes) << report.causality.sentence;
      EXPECT_TRUE(report.causes.empty() && !report.parting && report.layers.empty());
      EXPECT_EQ(report.causes_tried + report.explaining_feeds, 0);
    }
  }
}

// Every reading of a config has the past that it should have, around the edges of its windows, too; in all formats by
// turns.
TEST(Rows, AreIdentical) {
  const auto rows = model::arch::rows();
  std::size_t turn = 0;
  for (const auto& folder : support::model_folders(support::golden_data())) {
    const std::string type = support::model_type(folder);
    if (std::ranges::find(rows, type, &model::arch::Row::model_type) == rows.end()) continue;
    const bool quantised = folder.filename().string().ends_with("mxfp4");  // what is stored so stays so
    const std::string format = quantised ? "as stored" : kFormats[turn % kFormats.size()];
    ++turn;
    subjects::EngineSubject subject(loaded(folder.filename().string(), format), type);
    const model::Card& card = subject.model().card();
    const std::int64_t widest = card.windows.empty() ? 0 : std::ranges::max(card.windows);
    const std::int64_t beyond = widest + 3;  // tokens: past the window's edge, unless that is a published model's
    const std::int64_t tokens = beyond > 80 ? 24 : std::max<std::int64_t>(beyond, 12);
    const Ids ids = support::random_ids(turn, tokens, card.vocab);
    const check::Report report = check::run(subject, ids, {.splits = {Choice::listed, {tokens - 3, tokens / 2}}});
    EXPECT_EQ(report.verdict.outcome, Outcome::identical) << folder << "\n" << show::as_text(check::document(report));
  }
  EXPECT_GT(turn, 148u);
}

// Nothing is planted, and the truth is that no past can be exact.
TEST_P(Healthy, OfAnEncoderIsSaidToAttendBothWays) {
  const check::Report report = run("", {"tiny-roberta", GetParam(), 11, {}});
  EXPECT_EQ(named(report), "attends-both-ways") << show::as_text(check::document(report));
  EXPECT_EQ(report.causes.front().same_rows, report.causes.front().rows);
  EXPECT_EQ(report.causality.holds, check::Answer::no);
  EXPECT_EQ(report.causality.first_layer, 0) << report.causality.sentence;
}

INSTANTIATE_TEST_SUITE_P(Formats, Healthy, testing::ValuesIn(kFormats), [](const auto& test) { return test.param; });

struct Pair {
  const char *model, *faults;
};

class Pairs : public testing::TestWithParam<Pair> {};

TEST_P(Pairs, AreNamedTogether) {
  const check::Report report = run(GetParam().faults, {GetParam().model, "fp32", 24, {Choice::listed, {17}}});
  EXPECT_EQ(named(report), without_counts(GetParam().faults)) << show::as_text(check::document(report));
}

INSTANTIATE_TEST_SUITE_P(AtOnce, Pairs,
                         testing::Values(Pair{"falcon-sequential-rotary", "top-left-mask+position-restarted"},
                                         Pair{"gpt2-plain", "top-left-mask+position-one-far"},
                                         Pair{"gpt2-plain", "position-one-far+past-in-bf16"},
                                         Pair{"gpt2-plain", "position-one-far+hole-in-past"},
                                         Pair{"gpt2-plain", "window=5+position-one-short"},
                                         Pair{"falcon-sequential-rotary", "position-restarted+rotary-twice"},
                                         Pair{"falcon-sequential-rotary", "past-ignored+rotary-interleaved"},
                                         Pair{"falcon-sequential-rotary", "rotary-missing+past-in-int8"},
                                         Pair{"mpt-three-heads", "top-left-mask+alibi-missing"},
                                         Pair{"mpt-three-heads", "alibi-over-new-tokens+heads-shifted"},
                                         Pair{"mpt-three-heads", "first-dropped=2+past-in-fp16"}),
                         [](const auto& test) {
                           return support::test_name(std::string(test.param.model) + "_" + test.param.faults);
                         });

// Faults that show at a certain length only: nothing one token before, all of it from there on.
struct Edge {
  const char *model, *fault;
  std::int64_t tokens;  // the longest text in which it does nothing
};

class Edges : public testing::TestWithParam<Edge> {};

TEST_P(Edges, ShowFromTheirLengthOn) {
  const auto& [model, fault, tokens] = GetParam();
  for (const auto& [length, name] : {std::pair{tokens, std::string("nothing")}, {tokens + 1, without_counts(fault)}}) {
    const check::Report report = run(fault, {model, "fp32", length, {Choice::listed, {tokens / 2}}});
    EXPECT_EQ(named(report), name) << length << " tokens\n" << show::as_text(check::document(report));
    if (name == "nothing") continue;
    ASSERT_TRUE(report.parting);
    EXPECT_EQ(report.parting->position, tokens) << report.parting->sentence;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, Edges,
    testing::Values(Edge{"falcon-rotary-long", "window=63", 63}, Edge{"falcon-rotary-long", "window=64", 64},
                    Edge{"falcon-alibi-long", "window=65", 65}, Edge{"falcon-rotary-long", "position-stops=63", 64},
                    Edge{"falcon-rotary-long", "position-stops=64", 65}, Edge{"falcon-rotary-long", "window=256", 256},
                    Edge{"falcon-rotary-long", "position-stops=256", 257},
                    Edge{"falcon-alibi-long", "window=255", 255}),
    [](const auto& test) { return support::test_name(std::string(test.param.model) + "_" + test.param.fault); });

TEST(Parting, NamesSplitPositionLayerAndHeads) {
  const check::Report report = run("top-left-mask", {"tiny-falcon", "fp32", 7, {}});
  ASSERT_TRUE(report.parting);
  EXPECT_EQ(report.parting->past, 1);
  EXPECT_EQ(report.parting->position, 1);
  EXPECT_EQ(report.parting->layer, 0);
  EXPECT_EQ(report.parting->head, 0);
  EXPECT_EQ(report.layers.size(), 7u);
  EXPECT_EQ(report.layers[0].max_abs, 0);
  EXPECT_GT(report.layers[1].max_abs, 0);
}

TEST(Parting, OfAMisplacedTokenIsBeforeTheFirstLayer) {
  const check::Report report = run("position-one-far", {"tiny-gpt2", "fp32", 7, {}});
  ASSERT_TRUE(report.parting);
  EXPECT_TRUE(report.parting->embedded) << report.parting->sentence;
}

TEST(Parting, IsFoundByHalvingBetweenSplits) {
  const check::Report report = run("window-of-call=30", {"falcon-rotary-long", "fp32", 70, {Choice::listed, {10, 60}}});
  ASSERT_TRUE(report.parting);
  EXPECT_EQ(report.parting->position, 1) << report.parting->sentence;
  EXPECT_EQ(report.parting->past, 1) << report.parting->sentence;
}

TEST(Pictures, ShowEverySplitAndPosition) {
  const check::Report report = run("window=4", {"gpt2-plain", "fp32", 13, {}});
  EXPECT_EQ(report.cells.size(), 12u * 13u / 2u);
  EXPECT_EQ(report.positions_of_cell, 1);
  for (const check::Cell& c : report.cells) EXPECT_EQ(c.max_abs > 0, c.place.position >= 4) << c.place.position;
  std::int64_t counted = 0;
  for (const std::int64_t n : report.with_past.counts) counted += n;
  EXPECT_EQ(counted, report.vocab);
}

// A supposition that changes nothing gives the bits of the ordinary call, wherever the text is thought to be cut.
TEST(Supposition, OfNothingChangesNothing) {
  for (const std::string& model : kCausal) {
    subjects::EngineSubject subject(loaded(model, "fp32"), model);
    const Ids ids = support::random_ids(3, 20, subject.model().card().vocab);
    const session::Logits whole = subject.fresh()->feed(ids);
    for (const auto& [cause, count] : {std::pair{CauseId::window, 20},
                                       {CauseId::window_of_call, 20},
                                       {CauseId::prefix_seen_whole, 1},
                                       {CauseId::position_stops, 20}}) {
      const session::Supposition wide{cause, count};
      for (const std::int64_t past : {1, 7, 19}) {
        const auto supposed = subject.counterfactual()->suppose({&wide, 1}, ids, past);
        if (!supposed) continue;  // positions mean nothing to ALiBi
        EXPECT_TRUE(std::equal(supposed->values.begin(), supposed->values.end(),
                               whole.values.begin() + past * whole.vocab, whole.values.end()))
            << model << ", " << check::cause_of(cause).name << " from " << past;
      }
    }
  }
}

TEST(Implementations, AreRefusedWhereTheyMeanNothing) {
  const model::Model mpt = loaded("tiny-mpt", "fp32");
  for (const char* name : {"rotary-twice", "position-restarted", "nothing-of-the-sort", "window=0", "window=x",
                           "top-left-mask=3", "window=4+", "+window=4", "window=4+rotary-twice"}) {
    EXPECT_FALSE(means_anything(mpt, name, "fp32")) << name;
  }
  EXPECT_EQ(subjects::implementation("transformers-2023", mpt.card()).keeps, subjects::Implementation::Keeps::nothing);
}

TEST(Implementations, OfTheArticleLeaveConv1dAsItIs) {
  const hf::Folder gpt2 = hf::Folder::open(support::source() / "models" / "tiny-gpt2");
  const hf::Folder mpt = hf::Folder::open(support::source() / "models" / "tiny-mpt");
  model::LoadOptions options = loaded_in("nf4", "");
  EXPECT_EQ(subjects::load_as("transformers-2023", mpt, options), "");
  EXPECT_TRUE(options.quantize);
  EXPECT_NE(subjects::load_as("transformers-2023", gpt2, options), "");
  EXPECT_FALSE(options.quantize);
  EXPECT_EQ(options.dtype, DType::f16);
}

}  // namespace
}  // namespace pkv
