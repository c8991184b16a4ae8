#include "engine/generate/stop.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace pkv::generate {
namespace {

// What is shown in all, and the stop text found, of a text that comes in pieces of these sizes.
std::pair<std::string, std::string> shown(const std::vector<std::string>& stops, std::string_view before,
                                          std::string_view text, const std::vector<std::size_t>& sizes) {
  StopText stop(stops, before);
  std::string all;
  for (std::size_t i = 0; !text.empty(); ++i) {
    const std::size_t n = std::min(sizes[i % sizes.size()], text.size());
    all += stop.push(text.substr(0, n));
    text.remove_prefix(n);
  }
  all += stop.finish();
  return {all, stop.found().value_or("none")};
}

// The definition: the first place where a stop text ends, and of those that end there the longest.
std::pair<std::string, std::string> plainly(const std::vector<std::string>& stops, std::string_view before,
                                            std::string_view text) {
  const std::string whole = std::string(before) + std::string(text);
  for (std::size_t end = before.size() + 1; end <= whole.size(); ++end) {
    std::string longest;
    for (const std::string& s : stops) {
      if (s.size() > longest.size() && std::string_view(whole).substr(0, end).ends_with(s)) longest = s;
    }
    if (longest.empty()) continue;
    const std::size_t begin = std::max(end - longest.size(), before.size());
    return {whole.substr(before.size(), begin - before.size()), longest};
  }
  return {std::string(text), "none"};
}

TEST(StopText, WherePiecesEndMakesNoDifference) {
  const auto letters = [](std::uint64_t seed, std::size_t most) {
    std::string text;
    for (std::uint64_t i = 1; i <= random_bits(seed, 0) % (most + 1); ++i) text += "ab"[random_bits(seed, i) % 2];
    return text;
  };
  int found = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::vector<std::string> stops;
    for (std::uint64_t i = 0; i < 1 + seed % 3; ++i) stops.push_back(letters(4 * seed + i, 5) + "ab"[seed % 2]);
    const std::string before = letters(~seed, 6), text = letters(seed + 77'777, 20);
    const auto expected = plainly(stops, before, text);
    found += expected.second == "none" ? 0 : 1;
    for (const std::vector<std::size_t>& sizes : std::vector<std::vector<std::size_t>>{{1}, {2}, {3, 1}, {7}, {100}}) {
      ASSERT_EQ(shown(stops, before, text, sizes), expected)
          << "before " << before << ", text " << text << ", stops " << testing::PrintToString(stops) << ", pieces "
          << testing::PrintToString(sizes);
    }
  }
  EXPECT_GT(found, 300);
  EXPECT_LT(found, 2900);
}

TEST(StopText, HoldsBackOnlyWhatMayBecomeAStopText) {
  StopText stop({"END", "é"});
  EXPECT_EQ(stop.push("The E"), "The ");
  EXPECT_EQ(stop.push("N"), "");
  EXPECT_EQ(stop.push("emy"), "ENemy");
  EXPECT_EQ(stop.push("E"), "");
  EXPECT_EQ(stop.finish(), "E");
}

TEST(StopText, ShowsNothingAfterIt) {
  StopText stop({"."});
  EXPECT_EQ(stop.push("One. Two"), "One");
  EXPECT_EQ(stop.push(" three."), "");
  EXPECT_EQ(stop.finish(), "");
  EXPECT_EQ(stop.found(), ".");
}

TEST(StopText, NoneLetsEverythingThrough) {
  StopText stop({}, "before");
  EXPECT_EQ(stop.push("a"), "a");
  EXPECT_EQ(stop.push(""), "");
  EXPECT_EQ(stop.finish(), "");
  EXPECT_FALSE(stop.found());
}

TEST(StopText, AnEmptyOneIsRefused) { EXPECT_THROW(StopText({"a", ""}), Error); }

}  // namespace
}  // namespace pkv::generate
