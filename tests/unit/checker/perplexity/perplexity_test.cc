// Windows and figures of perplexity::run, on a system whose logits are simple enough to reckon by hand.
#include "checker/perplexity/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checker/perplexity/document.h"

namespace pkv::perplexity {
namespace {

using session::Description;
using session::Logits;
using session::Session;
using session::Subject;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kVocab = 4;

// Every window as "ids fed, those wanted after a bar". Each row gives `odds` to 1 to the token that is one more than
// the token fed, modulo kVocab.
class Toy : public Subject {
 public:
  explicit Toy(double odds, std::string format = "fp32") : odds_(odds), format_(std::move(format)) {}

  Description describe() const override { return {.name = "toy", .family = "T", .system = "none", .format = format_}; }
  std::unique_ptr<Session> fresh() override {
    windows.emplace_back();
    return std::make_unique<Lane>(*this);
  }

  std::vector<std::string> windows;
  bool broken = false;

 private:
  class Lane : public Session {
   public:
    explicit Lane(Toy& toy) : toy_(toy) {}
    Logits feed(std::span<const std::int32_t> ids) override {
      write("|", ids);
      Logits logits{.vocab = kVocab, .values = std::vector<float>(ids.size() * kVocab)};
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const float value = toy_.broken ? NAN : static_cast<float>(std::log(toy_.odds_));
        logits.values[i * kVocab + static_cast<std::size_t>((ids[i] + 1) % kVocab)] = value;
      }
      return logits;
    }
    void skip(std::span<const std::int32_t> ids) override { write("", ids); }
    std::optional<std::int64_t> length() const override { return length_; }

   private:
    void write(std::string text, std::span<const std::int32_t> ids) {
      for (const auto id : ids) text += std::to_string(id);
      toy_.windows.back() += text;
      length_ += std::ssize(ids);
    }

    Toy& toy_;
    std::int64_t length_ = 0;
  };

  double odds_;
  std::string format_;
};

using Ids = std::vector<std::int32_t>;

Result measure(Toy& toy, const Ids& ids, const Windows& windows, Subject* reference = nullptr,
               std::size_t at_once = 3) {
  WorkerPool pool(1);
  std::size_t at = 0;
  const auto next = [&](Ids& into) {
    for (std::size_t i = 0; i < at_once && at < ids.size(); ++i) into.push_back(ids[at++]);
    return at < ids.size();
  };
  return run(toy, reference, next, windows, pool);
}

const Ids kTen{0, 1, 2, 3, 0, 1, 2, 3, 0, 1};

TEST(Perplexity, WindowsSideBySide) {
  Toy toy(1);
  const Result p = measure(toy, kTen, {.context = 4, .stride = 4});
  EXPECT_THAT(toy.windows, ElementsAre("|012", "|012", "|0")) << "the last token of a window need not be fed";
  EXPECT_EQ(p.tokens, 10);
  EXPECT_EQ(p.window_count, 3);
  EXPECT_EQ(p.predicted(), 7) << "all but the first of each window";
  EXPECT_DOUBLE_EQ(p.nll.mean(), std::log(4.0));
  EXPECT_DOUBLE_EQ(perplexity_of(p.nll), 4);
  EXPECT_NEAR(p.nll.standard_error(), 0, 1e-15);
}

TEST(Perplexity, OverlappingWindowsPredictATokenOnce) {
  for (const std::size_t at_once : {1, 3, 100}) {
    Toy toy(1);
    const Result p = measure(toy, kTen, {.context = 5, .stride = 3}, nullptr, at_once);
    EXPECT_THAT(toy.windows, ElementsAre("|0123", "3|012", "2|30")) << at_once;
    EXPECT_EQ(p.predicted(), 9);
  }
}

TEST(Perplexity, ChunksAndEnds) {
  Toy chunks(1), exact(1), lone(1), brief(1);
  measure(chunks, kTen, {.context = 8, .stride = 5, .chunk = 2});
  EXPECT_THAT(chunks.windows, ElementsAre("|01|23|01|2", "12|30"));
  measure(exact, kTen, {.context = 5, .stride = 5});
  EXPECT_THAT(exact.windows, ElementsAre("|0123", "|1230"));
  EXPECT_EQ(measure(lone, kTen, {.context = 9, .stride = 9}).window_count, 1) << "a lone last token predicts nothing";
  EXPECT_EQ(measure(brief, {0, 1}, {.context = 100, .stride = 7}).predicted(), 1);
}

TEST(Perplexity, FiguresByHand) {
  // Odds of 5 to 1 against three others: probability 5/8 for the token that follows, 1/8 for any other.
  Toy toy(5);
  Result p = measure(toy, {0, 1, 2, 2}, {.context = 4, .stride = 4});
  const double right = -std::log(5.0 / 8), wrong = -std::log(1.0 / 8), mean = (2 * right + wrong) / 3;
  EXPECT_NEAR(p.nll.mean(), mean, 1e-7);
  const double error = (wrong - right) / std::sqrt(3.0) / std::sqrt(3.0);  // deviation: |a - b| / sqrt(3) of a, a, b
  EXPECT_NEAR(p.nll.standard_error(), error, 1e-7);
  EXPECT_NEAR(perplexity_of(p.nll), std::exp(mean), 1e-6);
  EXPECT_NEAR(perplexity_error(p.nll), std::exp(mean) * error, 1e-6);
  p.bytes = 8;
  EXPECT_NEAR(p.bits_per_byte(), mean / std::log(2.0) * 4 / 8, 1e-7);
}

TEST(Perplexity, AgainstAReference) {
  Toy tested(5, "bf16"), reference(13, "fp32"), flat(1);
  const Result p = measure(tested, {0, 1, 2, 3}, {.context = 4, .stride = 4, .chunk = 2}, &reference);
  ASSERT_TRUE(p.against);
  EXPECT_EQ(reference.windows, tested.windows);
  // 13/16, 1/16, 1/16, 1/16 against 5/8, 1/8, 1/8, 1/8.
  const double kl = 13.0 / 16 * std::log(13.0 / 10) + 3.0 / 16 * std::log(0.5);
  EXPECT_NEAR(p.against->kl.mean(), kl, 1e-7);
  EXPECT_NEAR(p.against->kl_bins.quantile(0.99) / kl, 1, 0.005);
  EXPECT_NEAR(p.against->kl_bins.largest(), kl, 1e-7);
  EXPECT_NEAR(p.against->nll.mean(), -std::log(13.0 / 16), 1e-7);
  EXPECT_NEAR(p.against->difference.mean(), std::log(1.3), 1e-7);
  EXPECT_EQ(p.against->same_top, 3);
  EXPECT_EQ(measure(flat, {3, 3, 0, 1}, {.context = 4, .stride = 4}, &reference).against->same_top, 2)
      << "of equals the lowest id counts: two of the three rows predict 0";
}

Error::Text error_of(Toy& toy, const Ids& ids, const Windows& windows) {
  try {
    measure(toy, ids, windows);
  } catch (const Error& e) {
    return e.text();
  }
  return {.what = "no error"};
}

TEST(Perplexity, RefusesWhatHasNoMeaning) {
  Toy toy(1);
  EXPECT_EQ(error_of(toy, kTen, {.context = 1, .stride = 1}).where, "context");
  EXPECT_EQ(error_of(toy, kTen, {.context = 4, .stride = 0}).where, "stride");
  EXPECT_EQ(error_of(toy, kTen, {.context = 4, .stride = 5}).where, "stride");
  EXPECT_EQ(error_of(toy, kTen, {.context = 4, .stride = 4, .chunk = 0}).where, "chunk");
  EXPECT_EQ(error_of(toy, {}, {.context = 4, .stride = 4}).found, "no tokens");
  EXPECT_EQ(error_of(toy, {3}, {.context = 4, .stride = 4}).found, "1 token");
  EXPECT_EQ(error_of(toy, {0, 1, 2, 4}, {.context = 4, .stride = 4}).expected, "0 to 3") << "though it is not fed";
  toy.broken = true;
  EXPECT_THAT(error_of(toy, kTen, {.context = 4, .stride = 4}).where, HasSubstr("token 1 of the text"));
}

TEST(Perplexity, Renderings) {
  Toy tested(5, "bf16"), reference(13);
  Result p = measure(tested, {0, 1, 2, 3}, {.context = 4, .stride = 2}, &reference);
  p.bytes = 8;
  EXPECT_THAT(show::as_text(document(p)),
              HasSubstr("4 tokens of 8 bytes, 3 predicted in 1 window of up to 4, every 2\n"));
  EXPECT_THAT(show::as_text(document(p)), HasSubstr("against fp32\n"));
  EXPECT_THAT(show::as_markdown(document(p)), HasSubstr("| perplexity | 1.6 ± "));
  const std::string csv = show::as_csv(document(p));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 2);
  const auto commas = [&](std::size_t from, std::size_t to) {
    return std::count(csv.begin() + from, csv.begin() + to, ',');
  };
  EXPECT_EQ(commas(0, csv.find('\n')), commas(csv.find('\n'), csv.size()));
  const auto json = nlohmann::json::parse(report_json(p));
  EXPECT_EQ(json["schema"], "pkv-perplexity/1");
  EXPECT_EQ(json["predicted"], 3);
  EXPECT_EQ(json["against"]["same_top"], 3);
}

}  // namespace
}  // namespace pkv::perplexity
