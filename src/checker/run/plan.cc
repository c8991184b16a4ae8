#include "checker/run/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>

#include "base/error.h"

namespace pkv::check {
namespace {

// The work of trying every split grows with the square of the tokens: of longer texts a sample is tried.
constexpr std::int64_t most_tokens_for_every_split = 64;

std::vector<std::int64_t> from_one_below(std::int64_t n) {
  std::vector<std::int64_t> at(static_cast<std::size_t>(n - 1));
  std::iota(at.begin(), at.end(), 1);
  return at;
}

// Powers of two and their neighbours, where tiles, blocks and windows end; both ends; and nine points evenly between.
std::vector<std::int64_t> sampled(std::int64_t n) {
  std::set<std::int64_t> at{n - 2, n - 1};
  for (std::int64_t edge = 1; edge < n; edge *= 2) at.insert({edge - 1, edge, edge + 1});
  for (std::int64_t i = 1; i < 10; ++i) at.insert(i * n / 10);
  std::vector<std::int64_t> inside;
  std::copy_if(at.begin(), at.end(), std::back_inserter(inside), [&](auto k) { return k >= 1 && k < n; });
  return inside;
}

std::vector<std::int64_t> listed(std::int64_t n, std::vector<std::int64_t> at) {
  for (const auto k : at) {
    if (k >= 1 && k < n) continue;
    fail_usage({.what = "no such split point",
                .expected = fmt::format("1 to {}: the text has {} tokens", n - 1, n),
                .found = fmt::format("{}", k)});
  }
  std::sort(at.begin(), at.end());
  at.erase(std::unique(at.begin(), at.end()), at.end());
  return at;
}

std::vector<std::int64_t> points(std::int64_t n, const Splits& splits) {
  switch (splits.choice) {
    case Splits::Choice::last:
      return {n - 1};
    case Splits::Choice::listed:
      return listed(n, splits.at);
    case Splits::Choice::all:
      return from_one_below(n);
    case Splits::Choice::automatic:
      break;
  }
  return n <= most_tokens_for_every_split ? from_one_below(n) : sampled(n);
}

std::vector<Trial> trials_at(const std::vector<std::int64_t>& at, std::int64_t n, Method method) {
  std::vector<Trial> trials;
  for (const auto k : at) trials.push_back({method, {k, n - k}});
  return trials;
}

Trial chunks(std::int64_t n, std::int64_t size) {
  Trial trial;
  for (std::int64_t at = 0; at < n; at += size) trial.pieces.push_back(std::min(size, n - at));
  return trial;
}

// Forks and rewinds are tried at the ends and the middle of the chosen split points.
std::vector<std::int64_t> few_of(const std::vector<std::int64_t>& at) {
  const std::set<std::int64_t> few{at.front(), at[at.size() / 2], at.back()};
  return {few.begin(), few.end()};
}

std::string list_of_splits(const std::vector<std::int64_t>& at, std::int64_t n) {
  return at.size() > 3 ? fmt::format("{} of {} splits", at.size(), n - 1)
                       : fmt::format("split at {}", fmt::join(at, ", "));
}

void add_splits(Plan& plan, std::int64_t n, const Splits& splits, const std::vector<std::int64_t>& at) {
  if (splits.choice == Splits::Choice::last) return;  // the article's experiment is just that
  const bool every = static_cast<std::int64_t>(at.size()) == n - 1;
  plan.experiments.push_back({every ? "every split point" : list_of_splits(at, n),
                              "the text cut in two, each part fed in one call", trials_at(at, n, Method::pieces)});
  if (every) return;
  const char* why = splits.choice == Splits::Choice::listed ? "as asked" : "a sample; --splits all tries every one";
  plan.notes.push_back(fmt::format("{} of {} split points were tried ({}).", at.size(), n - 1, why));
}

void add_chunks(Plan& plan, std::int64_t n) {
  plan.experiments.push_back({"token by token", "each token in a call of its own", {chunks(n, 1)}});
  std::vector<std::int64_t> too_long;
  for (const std::int64_t size : {2, 3, 7, 64}) {
    if (size >= n) {
      too_long.push_back(size);
    } else {
      plan.experiments.push_back(
          {fmt::format("chunks of {}", size), fmt::format("{} tokens a call", size), {chunks(n, size)}});
    }
  }
  if (too_long.empty()) return;
  plan.notes.push_back(
      fmt::format("Chunks of {} tokens were left out: the text has {}.", fmt::join(too_long, ", "), n));
}

void add_powers(Plan& plan, std::int64_t n, const std::vector<std::int64_t>& at) {
  const auto add = [&](const char* name, const char* sentence, Method method) {
    plan.experiments.push_back({name, sentence, trials_at(at, n, method)});
  };
  add("one past used twice", "the past is forked; the same rest is fed in the fork, then in the original",
      Method::fork_same);
  add("fork, another text", "a fork is fed another text while the original goes on; then a second fork gets the rest",
      Method::fork_other);
  add("rewind, go on", "all is fed in one call, the past is cut back and the rest fed again", Method::rewind_same);
  add("rewind, another text", "another text is fed after the prefix, the past is cut back, then the rest is fed",
      Method::rewind_other);
  add("two pasts at once", "a past of the text, then one of another; then both are gone on from with the same rest",
      Method::beside);
  add("two texts in a call", "the same, each time both in one call of the system", Method::batch);
}

std::int64_t parse_split(std::string_view text) {
  std::int64_t k = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), k);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail_usage({.what = "cannot read the split points",
                .expected = "all, last or numbers like 3,5",
                .found = fmt::format("'{}'", text)});
  }
  return k;
}

}  // namespace

Splits parse_splits(std::string_view text) {
  if (text.empty()) return {};
  if (text == "all") return {Splits::Choice::all};
  if (text == "last") return {Splits::Choice::last};
  Splits splits{Splits::Choice::listed};
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    splits.at.push_back(parse_split(text.substr(from, comma - from)));
    from = comma + 1;
  }
  return splits;
}

Plan make_plan(std::int64_t tokens, const Splits& splits) {
  if (tokens < 2) {
    fail_usage({.what = "the text is too short to be split",
                .expected = "at least two tokens: one for the past, one to go on with",
                .found = fmt::format("{} token{}", tokens, tokens == 1 ? "" : "s"),
                .hint = "a longer text"});
  }
  const auto at = points(tokens, splits);
  Plan plan;
  plan.experiments.push_back({"last token split off", "all tokens but the last in one call, then the last alone",
                              trials_at({tokens - 1}, tokens, Method::pieces)});
  add_splits(plan, tokens, splits, at);
  add_chunks(plan, tokens);
  add_powers(plan, tokens, few_of(at));
  const std::set<std::int64_t> lengths{(tokens + 1) / 2, tokens - 1};
  plan.influence_at = {lengths.begin(), lengths.end()};
  return plan;
}

std::int64_t tokens_to_feed(const Trial& trial) {
  const std::int64_t all = std::accumulate(trial.pieces.begin(), trial.pieces.end(), std::int64_t{0});
  const std::int64_t rest = all - trial.pieces.front();
  switch (trial.method) {
    case Method::pieces:
      return all;
    case Method::fork_other:
      return all + 2 * rest;
    case Method::beside:
    case Method::batch:
      return 3 * all;  // both texts, and the other once more without a past
    case Method::fork_same:
    case Method::rewind_same:
    case Method::rewind_other:
      break;
  }
  return all + rest;
}

std::int64_t Plan::tokens_to_feed(std::int64_t tokens) const {
  std::int64_t sum = 2 * tokens;  // without past, and the control
  for (const auto& e : experiments) {
    for (const auto& t : e.trials) sum += check::tokens_to_feed(t);
  }
  for (const auto k : influence_at) sum += 3 * tokens - k;  // with its past, with another, and the rest alone
  return sum;
}

}  // namespace pkv::check
