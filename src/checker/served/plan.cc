#include "checker/served/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace pkv::served {
namespace {

constexpr std::int64_t kWarmUp = 1, kControls = 3;  // two cold ones at the beginning, one at the end
constexpr std::int64_t kPerPrefix = 2;              // to leave a past there, and to ask
constexpr std::int64_t kFirstAndAgain = 4 * 3;      // texts, each asked three times

bool is_power_of_two(std::int64_t n) { return (n & (n - 1)) == 0; }

// What is asked for its own sake when not everything can be: the ends, then powers of two, then their neighbours.
int rank(std::int64_t prefix, std::int64_t tokens) {
  if (prefix >= tokens - 1 || prefix == 1 || prefix == tokens / 2) return 0;
  return is_power_of_two(prefix) ? 1 : 2;
}

std::int64_t fixed_requests(const About& about, const Options& options) {
  std::int64_t requests = kWarmUp + kControls;
  requests += 2 + 3 * 3;  // another continuation; edited, cut, another text
  requests += 2 * 3;      // the reply, then it fed back warm and cold; and so as text
  requests += options.flood > 0 ? options.flood + 2 : 0;
  requests += about.can.saves ? 2 : 0;            // asked, and asked again when it was restored
  requests += about.can.prompt_logprobs ? 3 : 0;  // cold twice, warm
  for (const int n : options.companions) requests += n + 1;
  return requests;
}

}  // namespace

std::vector<std::int64_t> prefixes_of(std::int64_t tokens) {
  std::set<std::int64_t> all{1, tokens / 2, tokens - 1, tokens};
  for (std::int64_t power = 2; power - 1 < tokens; power *= 2) all.insert({power - 1, power, power + 1});
  std::erase_if(all, [&](std::int64_t n) { return n < 1 || n > tokens; });
  return {all.begin(), all.end()};
}

void require_prefixes(std::vector<std::int64_t>& prefixes, std::int64_t tokens) {
  std::ranges::sort(prefixes);
  for (const std::int64_t prefix : prefixes) {
    if (prefix >= 1 && prefix <= tokens) continue;
    fail_usage({.what = "not a prefix of the prompt",
                .where = "--prefixes",
                .expected = fmt::format("lengths from 1 to {}", tokens),
                .found = fmt::format("{}", prefix)});
  }
}

void fit(Plan& plan, std::int64_t tokens, std::int64_t most, std::int64_t per_prefix) {
  while (plan.requests > most && plan.prefixes.size() > 1) {
    const auto least = std::ranges::max_element(
        plan.prefixes, [&](std::int64_t a, std::int64_t b) { return rank(a, tokens) < rank(b, tokens); });
    plan.prefixes.erase(least);
    plan.left_out++;
    plan.requests -= per_prefix;
  }
  if (plan.requests > most) {
    fail_usage({.what = "too few requests for a check",
                .where = "--max-requests",
                .expected = fmt::format("at least {}", plan.requests),
                .found = fmt::format("{}", most)});
  }
}

Plan plan(const About& about, std::int64_t tokens, const Options& options) {
  Plan plan{.longest = tokens + options.new_tokens};
  if (!about.can.ids || !about.can.cold) {
    plan.requests = kWarmUp + kFirstAndAgain + (about.can.prompt_logprobs ? 2 : 0);
    for (const int n : options.companions) plan.requests += n + 2;  // alone first
  } else {
    plan.prefixes = options.prefixes.empty() ? prefixes_of(tokens) : options.prefixes;
    require_prefixes(plan.prefixes, tokens);
    plan.requests = fixed_requests(about, options) + kPerPrefix * std::ssize(plan.prefixes);
  }
  fit(plan, tokens, options.most_requests, kPerPrefix);
  return plan;
}

}  // namespace pkv::served
