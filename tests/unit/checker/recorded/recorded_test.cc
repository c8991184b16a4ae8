#include "checker/recorded/recorded.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <utility>

#include "base/error.h"

namespace pkv::check {
namespace {

using testing::HasSubstr;

// Three tokens, a vocabulary of two.
Recording whole() {
  return {.description = {.name = "m", .system = "s", .format = "fp32", .layers = 1, .width = 4},
          .text = "abc",
          .ids = {7, 8, 9},
          .logits = {.vocab = 2, .values = {1, 2, 3, 4, 5, 6}},
          .pieces = {3},
          .past_lengths = {3}};
}

Recording in_pieces() {
  Recording r = whole();
  r.pieces = {2, 1};
  r.past_lengths = {2, 3};
  return r;
}

std::string error_of(const Recording& a, const Recording& b) {
  try {
    compare_recordings(a, b);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Recorded, EqualIsIdentical) {
  const Report r = compare_recordings(whole(), in_pieces());
  EXPECT_EQ(r.verdict.outcome, Outcome::identical);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("1 position is equal"));
  EXPECT_EQ(r.evidence.exists.shown, Answer::yes);
  EXPECT_EQ(r.evidence.used.shown, Answer::unknown);
}

TEST(Recorded, RoundingIsWithinTheBound) {
  Recording b = in_pieces();
  b.logits.values[5] += 5e-7f;
  const Report r = compare_recordings(whole(), b);
  EXPECT_EQ(r.verdict.outcome, Outcome::within_rounding) << r.verdict.sentence;
  b.description.promises_same_bits = true;
  Recording a = whole();
  a.description.promises_same_bits = true;
  EXPECT_EQ(compare_recordings(a, b).verdict.outcome, Outcome::differs);
}

TEST(Recorded, AbsentPastIsSaidPlainly) {
  Recording b = in_pieces();
  b.past_lengths = {0, 0};
  b.logits.values[5] = 9;
  const Report r = compare_recordings(whole(), b);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, testing::StartsWith("no past was kept"));
  b.logits = whole().logits;
  EXPECT_EQ(compare_recordings(whole(), b).verdict.outcome, Outcome::empty);
}

// `pkv logits --past-file`: the recorded tokens are those after the saved ones.
TEST(Recorded, AfterASavedPastEveryPositionHasOne) {
  Recording a = whole(), b = in_pieces();
  a.past_tokens = b.past_tokens = 5;
  a.past_lengths = {8};
  b.past_lengths = {7, 8};
  const Report r = compare_recordings(a, b);
  EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
  EXPECT_EQ(r.total.positions, 3);
  EXPECT_THAT(r.results.at(0).sentence, HasSubstr("after a saved past of 5 tokens"));
  EXPECT_THAT(r.notes, testing::Contains(HasSubstr("two uses of a past are compared")));
  b.logits.values[5] = 9;
  const Report apart = compare_recordings(a, b);
  EXPECT_EQ(apart.verdict.outcome, Outcome::differs);
  EXPECT_EQ(apart.total.first->past, 7);
  EXPECT_EQ(apart.total.first->position, 7);
  b.past_tokens = 4;
  EXPECT_THAT(error_of(a, b), HasSubstr("saved pasts of different lengths"));
}

TEST(Recorded, ALengthThatTheSystemDidNotSayIsNotHeldAgainstIt) {
  Recording b = in_pieces();
  b.past_lengths = {std::nullopt, 3};
  EXPECT_EQ(compare_recordings(whole(), b).evidence.length.shown, Answer::yes);
  b.past_lengths = {std::nullopt, std::nullopt};
  EXPECT_EQ(compare_recordings(whole(), b).evidence.exists.shown, Answer::unknown);
  EXPECT_EQ(compare_recordings(whole(), b).evidence.length.shown, Answer::unknown);
}

TEST(Recorded, WrongLengthDoesNotHold) {
  Recording b = in_pieces();
  b.past_lengths = {2, 2};
  const Report r = compare_recordings(whole(), b);
  EXPECT_FALSE(r.verdict.holds());
  EXPECT_THAT(r.verdict.sentence, HasSubstr("the past holds 2 tokens after 3 were fed"));
}

// Whether that is later tokens' doing or the length's, only probes tell.
TEST(Recorded, AChangeOfTheFirstPartIsSaid) {
  Recording b = in_pieces();
  b.logits.values[1] = 3;
  EXPECT_THAT(compare_recordings(whole(), b).verdict.sentence, HasSubstr("change when more text follows"));
}

TEST(Recorded, UnknownPiecesCompareEveryPosition) {
  Recording b = in_pieces();
  b.pieces = {};
  b.past_lengths = {};
  b.logits.values[3] = 5;
  const Report r = compare_recordings(whole(), b);
  EXPECT_EQ(r.total.positions, 3);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("first part at position 1."));
  EXPECT_EQ(r.evidence.exists.shown, Answer::unknown);
}

TEST(Recorded, UnknownPiecesAndNoSignOfAPastShowNothing) {
  Recording b = in_pieces();
  b.pieces = {};
  b.past_lengths = {};
  const Report r = compare_recordings(whole(), b);
  EXPECT_EQ(r.verdict.outcome, Outcome::empty);
  EXPECT_FALSE(r.verdict.holds());
  EXPECT_THAT(r.verdict.sentence, HasSubstr("does not say how it was fed"));
}

TEST(Recorded, TwoWholeRunsTestNothing) {
  EXPECT_EQ(compare_recordings(whole(), whole()).verdict.outcome, Outcome::empty);
}

TEST(Recorded, AreTakenTheOtherWayRoundWhenNeedBe) {
  const Report r = compare_recordings(in_pieces(), whole());
  EXPECT_EQ(r.verdict.outcome, Outcome::identical);
  EXPECT_THAT(r.notes, testing::ElementsAre(HasSubstr("other way round")));
}

TEST(Recorded, BothInPiecesIsNoted) {
  EXPECT_THAT(compare_recordings(in_pieces(), in_pieces()).notes, testing::ElementsAre(HasSubstr("in pieces too")));
}

// 20 tokens of a vocabulary of four, in bf16: the second is a single one after 19, or all one at a time.
std::pair<Recording, Recording> in_16_bits(std::int64_t pieces, float moved) {
  Recording a{.description = {.name = "m", .system = "s", .format = "bf16", .layers = 4, .width = 64},
              .ids = std::vector<std::int32_t>(20),
              .logits = {.vocab = 4, .values = {}},
              .pieces = {20},
              .past_lengths = {20}};
  std::iota(a.ids.begin(), a.ids.end(), 0);
  for (int i = 0; i < 20; ++i) a.logits.values.insert(a.logits.values.end(), {9, -1, 1, -1});
  Recording b = a;
  b.pieces = pieces == 2 ? std::vector<std::int64_t>{19, 1} : std::vector<std::int64_t>(20, 1);
  b.past_lengths.clear();
  for (std::int64_t held = 0; const std::int64_t piece : b.pieces) b.past_lengths.emplace_back(held += piece);
  for (std::size_t r = pieces == 2 ? 19 : 1; r < 20; ++r) b.logits.values[4 * r + 1] += moved;
  return {a, b};
}

TEST(Recorded, AFaultBelowTheBoundShowsInTheMeanOverRows) {
  const auto [a, b] = in_16_bits(20, 0.37f);  // a deviation of 0.16 of logits that have one of 4.1
  const Report all = compare_recordings(a, b);
  EXPECT_LT(all.total.max_abs, all.bound.value);
  EXPECT_EQ(all.verdict.outcome, Outcome::differs) << all.verdict.sentence;
  EXPECT_THAT(all.verdict.sentence, HasSubstr("19 positions"));
  const auto [c, d] = in_16_bits(2, 0.37f);  // by a single row that is no proof
  const Report one = compare_recordings(c, d);
  EXPECT_EQ(one.verdict.outcome, Outcome::within_rounding) << one.verdict.sentence;
  EXPECT_THAT(one.verdict.reasons, testing::Contains(HasSubstr("would look the same")));
}

// Three tokens through one layer of experts: how near two scores were, how far they moved, the largest of them.
Recording with_routes(float near_at_1, float moved_at_1) {
  Recording r = in_16_bits(20, 0).second;
  States apart{.width = 3, .layers = {std::vector<float>(3 * 20)}, .attended = {}};
  for (int t = 0; t < 20; ++t) apart.layers[0][3 * t] = -1, apart.layers[0][3 * t + 2] = 2;
  apart.layers[0][3] = near_at_1, apart.layers[0][4] = moved_at_1;
  r.routes = {apart, {1}};
  for (std::size_t i = 4; i < r.logits.values.size(); ++i) r.logits.values[i] += i % 2 == 0 ? 3.0f : -3.0f;
  return r;
}

TEST(Recorded, ARoutersTieIsToldFromAFault) {
  const Recording whole = in_16_bits(20, 0).first;
  const Report tie = compare_recordings(whole, with_routes(0.01f, 0.01f));
  EXPECT_EQ(tie.verdict.outcome, Outcome::empty) << tie.verdict.sentence;  // nothing else tests the past
  EXPECT_THAT(tie.verdict.sentence, HasSubstr("a router's tie flipped at token 1"));
  EXPECT_THAT(tie.verdict.sentence, HasSubstr("layer 1"));
  EXPECT_EQ(compare_recordings(whole, with_routes(0.01f, 1)).verdict.outcome, Outcome::differs);  // scores moved
  EXPECT_EQ(compare_recordings(whole, with_routes(-1, 0)).verdict.outcome, Outcome::differs);     // no exchange
}

TEST(Recorded, AfterATieTheWiderRunsAreCompared) {
  const Recording whole = in_16_bits(20, 0).first;
  Recording b = with_routes(0.01f, 0.01f);
  b.probes = Probes{.past = 19, .rows = 1, .wide_format = "fp32"};
  b.probes->runs["wide_without"] = b.probes->runs["wide_with"] = whole.logits;
  const Report agree = compare_recordings(whole, b);
  EXPECT_EQ(agree.verdict.outcome, Outcome::within_rounding) << agree.verdict.sentence;
  EXPECT_THAT(agree.verdict.sentence, HasSubstr("a router's tie flipped at token 1"));
  b.probes->runs["wide_with"].values[70] += 0.01f;
  EXPECT_EQ(compare_recordings(whole, b).verdict.outcome, Outcome::differs);
}

TEST(Recorded, RoutesOfAnotherTextAreRefused) {
  Recording b = with_routes(-1, 0);
  b.routes->apart.layers[0].resize(9);
  EXPECT_THAT(error_of(in_16_bits(20, 0).first, b), HasSubstr("'routes'"));
}

TEST(Recorded, ErrorsSayWhatIsWrong) {
  Recording b = in_pieces();
  b.ids[1] = 5;
  EXPECT_THAT(error_of(whole(), b), HasSubstr("token 1: the recordings are not of the same text"));
  b = in_pieces();
  b.pieces = {2, 2};
  EXPECT_THAT(error_of(whole(), b), HasSubstr("do not add up"));
  b.pieces = {3, 0};
  EXPECT_THAT(error_of(whole(), b), HasSubstr("do not add up"));
  b = in_pieces();
  b.past_lengths = {2};
  EXPECT_THAT(error_of(whole(), b), HasSubstr("a past length for every piece"));
  b = in_pieces();
  b.logits.values.pop_back();
  EXPECT_THAT(error_of(whole(), b), HasSubstr("a row of logits for every token"));
  b = in_pieces();
  b.logits = {.vocab = 1, .values = {1, 2, 3}};
  EXPECT_THAT(error_of(whole(), b), HasSubstr("vocabularies"));
  EXPECT_THAT(error_of({}, {}), HasSubstr("no tokens"));
}

}  // namespace
}  // namespace pkv::check
