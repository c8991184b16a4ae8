// Rows of which only the likeliest tokens are shown, as servers show them: of the last token fed, log-probabilities.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "base/softmax.h"
#include "checker/compare/compare.h"
#include "mutants/toy.h"

namespace pkv::check {
namespace {

const Precision& fp32 = precision_of("fp32");

Logits likeliest(std::vector<std::int32_t> ids, std::vector<float> values, std::int64_t vocab = 100) {
  const auto top = std::ssize(ids);
  return {.vocab = vocab, .values = std::move(values), .ids = std::move(ids), .top = top};
}

RowDifference compared(const Logits& a, const Logits& b) { return compare_row(a, 0, b, 0, fp32); }

TEST(Likeliest, WhatBothShowIsComparedAndCounted) {
  const RowDifference same = compared(likeliest({7, 3}, {2, 1}), likeliest({7, 3}, {2, 1}));
  EXPECT_TRUE(same.same_bits);
  EXPECT_EQ(same.seen, 2);
  EXPECT_EQ(same.of, 100);
  EXPECT_FALSE(same.saw_all());
  const RowDifference apart = compared(likeliest({7, 3}, {2, 1}), likeliest({7, 3}, {2, 1.5f}));
  EXPECT_FALSE(apart.same_bits);
  EXPECT_EQ(apart.max_abs, 0.5);
  EXPECT_FALSE(apart.top_flipped);
  EXPECT_EQ(apart.kl, 0) << "not computed";
}

TEST(Likeliest, TheOrderOfEqualsSaysNothing) {
  EXPECT_TRUE(compared(likeliest({7, 3}, {2, 2}), likeliest({3, 7}, {2, 2})).same_bits);
  EXPECT_FALSE(compared(likeliest({7, 3}, {2, 2}), likeliest({3, 7}, {2, 2})).top_flipped);
  const RowDifference cut = compared(likeliest({7, 3}, {2, 1}), likeliest({7, 5}, {2, 1}));
  EXPECT_TRUE(cut.same_bits) << "3 and 5 may be equal on both sides";
  EXPECT_EQ(cut.seen, 1);
}

TEST(Likeliest, ATokenThatOneSideLeavesOutIsBelowItsLeast) {
  const RowDifference row = compared(likeliest({7, 3}, {5, 1}), likeliest({4, 3}, {1, 1}));
  EXPECT_FALSE(row.same_bits);
  EXPECT_EQ(row.max_abs, 4) << "7 has 5 here, and at most 1 there";
  EXPECT_TRUE(row.top_flipped);
  EXPECT_EQ(row.seen, 1);
}

TEST(Likeliest, AgainstAllLogits) {
  Logits all{.vocab = 4, .values = {0, 3, 1, 2}};
  const RowDifference same = compared(all, likeliest({1, 3}, {3, 2}, 4));
  EXPECT_TRUE(same.same_bits);
  EXPECT_EQ(same.seen, 2);
  all.values[0] = 2.5f;  // above the least that is shown there
  EXPECT_EQ(compared(all, likeliest({1, 3}, {3, 2}, 4)).max_abs, 0.5);
  EXPECT_EQ(compared(likeliest({1, 3}, {3, 2}, 4), all).max_abs, 0.5);
}

TEST(Likeliest, NoNumbers) {
  EXPECT_EQ(compared(likeliest({1, 3}, {NAN, 2}), likeliest({1, 3}, {3, 2})).not_finite, 1);
  EXPECT_EQ(compared(likeliest({1, 3}, {3, 2}), likeliest({5, 3}, {NAN, 2})).not_finite, 1);
}

// A server: the toy model's `top` log-probabilities of the last token fed, and not a word about its past.
struct Server : session::Subject {
  toy::Subject model;
  std::int64_t top;

  Server(toy::Bugs bugs, std::int64_t k) : model(std::move(bugs)), top(k) {}
  Description describe() const override { return {.name = "a server"}; }
  std::unique_ptr<Session> fresh() override { return std::make_unique<Remote>(model.fresh(), top); }

  struct Remote : Session {
    std::unique_ptr<Session> model;
    std::int64_t top;

    Remote(std::unique_ptr<Session> m, std::int64_t k) : model(std::move(m)), top(k) {}
    Logits feed(std::span<const std::int32_t> ids) override {
      const Logits all = model->feed_last(ids);
      const LogSoftmax p(all.row(0));
      std::vector<std::int32_t> order(static_cast<std::size_t>(all.vocab));
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, std::greater<>(),
                               [&](std::int32_t id) { return all.row(0)[static_cast<std::size_t>(id)]; });
      order.resize(static_cast<std::size_t>(top));
      Logits shown{.vocab = all.vocab, .values = {}, .ids = order, .top = top};
      for (const std::int32_t id : order)
        shown.values.push_back(static_cast<float>(p.of(all.row(0)[static_cast<std::size_t>(id)])));
      return shown;
    }
  };
};

// The last position of a text, fed whole and at every split.
Difference last_of_all_splits(Server& server) {
  const std::vector<std::int32_t> ids{1, 5, 2, 11, 7, 3};
  const std::span<const std::int32_t> text(ids);
  const Logits whole = server.fresh()->feed(text);
  Difference sum;
  for (std::size_t past = 1; past < text.size(); ++past) {
    const auto session = server.fresh();
    session->feed(text.first(past));
    const Logits rest = session->feed(text.subspan(past));
    EXPECT_EQ(rest.rows(), 1);
    sum.add(compare_row(whole, 0, rest, 0, fp32), {static_cast<std::int64_t>(past), 5}, {.same_bits = true});
  }
  return sum;
}

TEST(Likeliest, OfAServerThatIsHealthyAndOneWhosePositionsBeginAnew) {
  Server healthy({}, 5);
  const Difference same = last_of_all_splits(healthy);
  EXPECT_TRUE(same.same_bits);
  EXPECT_EQ(same.positions, 5);
  EXPECT_EQ(same.seen, 25);
  EXPECT_EQ(same.of, 5 * toy::vocab);
  toy::Bugs bugs;
  bugs.position = [](toy::Call, std::int64_t row) { return row; };
  Server restarted(bugs, 5);
  const Difference apart = last_of_all_splits(restarted);
  EXPECT_FALSE(apart.same_bits);
  EXPECT_GT(apart.max_abs, 0.1);
  EXPECT_EQ(apart.first->past, 1);
}

}  // namespace
}  // namespace pkv::check
