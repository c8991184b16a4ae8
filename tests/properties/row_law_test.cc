// The row law, for every golden model and every table: however a text is fed, the logits of a position have the same
// bits.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "support/models.h"

namespace pkv {
namespace {

using Ids = std::vector<std::int32_t>;

using Case = support::GoldenCase;

std::string name_of(const testing::TestParamInfo<Case>& info) { return support::test_name(info.param); }

// Fewer than RapidCheck's default of 100, so that all models together stay affordable. PKV_PROPERTY_CASES asks for
// another number: more for a long run, fewer where a sanitizer makes each one slow.
int cases_each() {
  const char* wanted = std::getenv("PKV_PROPERTY_CASES");
  return wanted == nullptr ? 12 : std::max(1, std::atoi(wanted));
}

template <class Property>
void holds(const char* what, bool few, const Property& property) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = few ? std::max(1, cases_each() / 6) : cases_each();
  params.maxSize = 100;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata{}, params);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>())
      << what << "\n"
      << [&] {
           std::ostringstream os;
           rc::detail::printResultMessage(result, os);
           os << "\nrepeat with RC_PARAMS=\"seed=" << params.seed << "\"";
           return os.str();
         }();
}

class RowLaw : public testing::TestWithParam<Case> {
 protected:
  RowLaw() : model_(support::load(GetParam().folder, GetParam().table)) {
    longest_ = model_.card().context_is_hard ? std::min<std::int64_t>(150, model_.card().context) : 150;
  }

  // Lengths around the past's block size come up as often as short ones.
  Ids draw_text() const {
    const auto n =
        *rc::gen::oneOf(rc::gen::inRange<std::int64_t>(2, std::min<std::int64_t>(30, longest_) + 1),
                        rc::gen::inRange<std::int64_t>(std::min<std::int64_t>(60, longest_ - 1), longest_ + 1));
    return support::random_ids(*rc::gen::arbitrary<std::uint32_t>(), n, model_.card().vocab);
  }

  static std::vector<std::int64_t> draw_pieces(std::int64_t total) {
    std::vector<std::int64_t> pieces;
    while (total > 0) {
      const auto most = *rc::gen::element<std::int64_t>(1, 3, 17, 70);
      pieces.push_back(*rc::gen::inRange<std::int64_t>(1, std::min(most, total) + 1));
      total -= pieces.back();
    }
    return pieces;
  }

  std::vector<float> whole(const Ids& ids) const {
    model::Past past = model_.new_past();
    return support::feed(model_, past, ids);
  }

  // The rows from `position` on, against what was fed as one piece.
  void same(const std::vector<float>& all, std::int64_t position, const std::vector<float>& part,
            const char* how) const {
    const auto vocab = static_cast<std::size_t>(model_.card().vocab);
    const float* expected = all.data() + static_cast<std::size_t>(position) * vocab;
    if (std::memcmp(expected, part.data(), part.size() * sizeof(float)) == 0) return;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (std::memcmp(&expected[i], &part[i], sizeof(float)) != 0) {
        RC_LOG() << how << ": position " << position + static_cast<std::int64_t>(i / vocab) << ", token " << i % vocab
                 << ": in one piece " << expected[i] << ", now " << part[i];
        RC_FAIL("the bits differ");
      }
    }
  }

  template <class Property>
  void holds(const char* what, const Property& property) {
    pkv::holds(what, GetParam().once || GetParam().table == "cuda-model", property);
  }

  model::Model model_;
  std::int64_t longest_;
};

TEST_P(RowLaw, AnyPieces) {
  holds("fed in pieces", [this] {
    const Ids ids = draw_text();
    const auto all = whole(ids);
    model::Past past = model_.new_past();
    for (const std::int64_t n : draw_pieces(static_cast<std::int64_t>(ids.size()))) {
      const std::int64_t at = past.length();
      same(all, at, support::feed(model_, past, std::span(ids).subspan(at, n)), "pieces");
      RC_ASSERT(past.length() == at + n);
    }
    RC_ASSERT(std::equal(ids.begin(), ids.end(), past.ids().begin(), past.ids().end()));
  });
}

TEST_P(RowLaw, ForksAndRewinds) {
  holds("forked and rewound", [this] {
    const Ids ids = draw_text(), other = draw_text();
    const auto all = whole(ids);
    const auto split = *rc::gen::inRange<std::int64_t>(1, static_cast<std::int64_t>(ids.size()));
    const std::span<const std::int32_t> rest = std::span(ids).subspan(split);
    model::Past past = model_.new_past();
    support::feed(model_, past, std::span(ids).first(split));
    model::Past fork = past.fork();
    const auto detour = std::min(static_cast<std::int64_t>(other.size()), longest_ - split);
    if (detour > 0) support::feed(model_, fork, std::span(other).first(detour));  // must not reach `past`
    model::Past second = past.fork();
    same(all, split, support::feed(model_, past, rest), "beside a fork that went elsewhere");
    same(all, split, support::feed(model_, second, rest), "in a second fork");
    fork.truncate(split);
    same(all, split, support::feed(model_, fork, rest), "rewound");
    const auto back = *rc::gen::inRange<std::int64_t>(0, static_cast<std::int64_t>(ids.size()));
    past.truncate(back);
    same(all, back, support::feed(model_, past, std::span(ids).subspan(back)), "rewound to anywhere");
  });
}

TEST_P(RowLaw, SequencesInOneCall) {
  holds("several sequences in one call", [this] {
    const auto n = *rc::gen::inRange<std::size_t>(1, 5);
    std::vector<Ids> texts;
    std::vector<model::Past> pasts;
    std::vector<std::int64_t> split;
    for (std::size_t i = 0; i < n; ++i) {
      texts.push_back(draw_text());
      pasts.push_back(model_.new_past());
      split.push_back(*rc::gen::inRange<std::int64_t>(0, static_cast<std::int64_t>(texts[i].size())));
      if (split[i] > 0) support::feed(model_, pasts[i], std::span(texts[i]).first(split[i]));
    }
    std::vector<model::Feed> feeds;
    for (std::size_t i = 0; i < n; ++i)
      feeds.push_back({.ids = std::span(texts[i]).subspan(split[i]), .past = &pasts[i]});
    const model::Logits together = model_.forward(feeds);
    std::int64_t row = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto rows = static_cast<std::int64_t>(feeds[i].ids.size());
      const auto values = together.span<float>().subspan(row * model_.card().vocab, rows * model_.card().vocab);
      same(whole(texts[i]), split[i], {values.begin(), values.end()}, "one of several");
      row += rows;
    }
  });
}

TEST_P(RowLaw, LastRowAlone) {
  const Ids ids = support::random_ids(7, std::min<std::int64_t>(20, longest_), model_.card().vocab);
  const auto all = whole(ids);
  model::Past past = model_.new_past();
  const model::Feed feed{.ids = ids, .past = &past};
  const model::Logits last = model_.forward({&feed, 1}, model::Want::last);
  ASSERT_EQ(last.view()[0], 1);
  const auto values = last.span<float>();
  EXPECT_EQ(std::memcmp(values.data(), &all[all.size() - values.size()], values.size_bytes()), 0);
}

TEST_P(RowLaw, AnyNumberOfThreads) {
  const Ids ids = support::random_ids(8, std::min<std::int64_t>(130, longest_), model_.card().vocab);
  const auto all = whole(ids);
  for (const int threads : {1, 2, 3, 16}) {
    const model::Model other = support::load(GetParam().folder, GetParam().table, threads);
    model::Past past = other.new_past();
    ASSERT_EQ(std::memcmp(support::feed(other, past, ids).data(), all.data(), all.size() * sizeof(float)), 0)
        << threads;
  }
}

TEST_P(RowLaw, OneModelTwoThreads) {
  const Ids ids = support::random_ids(9, std::min<std::int64_t>(40, longest_), model_.card().vocab);
  const auto all = whole(ids);
  std::vector<float> there;
  std::thread other([&] { there = whole(ids); });
  const auto here = whole(ids);
  other.join();
  EXPECT_EQ(std::memcmp(here.data(), all.data(), all.size() * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(there.data(), all.data(), all.size() * sizeof(float)), 0);
}

TEST_P(RowLaw, AForwardThatFailsLeavesThePast) {
  const Ids ids = support::random_ids(10, std::min<std::int64_t>(20, longest_), model_.card().vocab);
  const auto all = whole(ids);
  model::Past past = model_.new_past();
  support::feed(model_, past, std::span(ids).first(5));
  Ids bad(3, static_cast<std::int32_t>(model_.card().vocab));
  EXPECT_THROW(support::feed(model_, past, bad), Error);
  EXPECT_THROW(support::feed(model_, past, {}), Error);
  EXPECT_EQ(past.length(), 5);
  const auto rest = support::feed(model_, past, std::span(ids).subspan(5));
  EXPECT_EQ(std::memcmp(rest.data(), &all[all.size() - rest.size()], rest.size() * sizeof(float)), 0);
}

TEST(RowLawCases, AreAllCausalModels) {
  for (const auto& folder : support::model_folders(support::golden_data())) {
    EXPECT_EQ(support::causal(folder), model::inspect(hf::Folder::open(folder)).card.causal) << folder;
  }
}

INSTANTIATE_TEST_SUITE_P(Causal, RowLaw, testing::ValuesIn(support::golden_cases(true)), name_of);

}  // namespace
}  // namespace pkv
