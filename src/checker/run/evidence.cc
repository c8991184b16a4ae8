#include "checker/run/evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "checker/compare/columns.h"
#include "checker/compare/compare.h"

namespace pkv::check {
namespace {

std::string tokens(std::int64_t count) { return show::counted(count, "token"); }

std::string fed(std::int64_t count) { return count == 1 ? " was fed" : " were fed"; }

}  // namespace

void PastAccount::add(std::int64_t fed, std::optional<std::int64_t> said) {
  if (!said) return;
  calls++;
  ever_held = ever_held || *said != 0;
  if (*said != fed && !wrong) wrong = {fed, *said};
}

Finding exists_finding(const PastAccount& account) {
  if (account.calls == 0) return {Answer::unknown, "whether a past was kept is not known"};
  if (!account.absent()) return {Answer::yes, "the past exists"};
  return {Answer::no, fmt::format("no past was kept: after {} the system says that it holds none",
                                  tokens(account.wrong->fed) + fed(account.wrong->fed))};
}

Finding length_finding(const PastAccount& account) {
  if (account.calls == 0) return {Answer::unknown, "the length of the past is not known"};
  if (account.wrong) {
    return {Answer::no, fmt::format("the past holds {} after {}{}", tokens(account.wrong->said), account.wrong->fed,
                                    fed(account.wrong->fed))};
  }
  return {Answer::yes, fmt::format("it has the right length after each of {}", show::counted(account.calls, "call"))};
}

Finding used_finding(const std::vector<Influence>& influences, double least) {
  if (influences.empty())
    return {Answer::unknown, "whether the past was used is not known: a recording does not show it"};
  const auto moved = [&](double by) { return by > least; };
  double without_it = std::numeric_limits<double>::infinity(), with_another = without_it;
  for (const auto& p : influences) {
    if (std::isnan(p.without_it) || std::isnan(p.with_another)) {
      return {Answer::unknown, "whether the past is used cannot be told from logits that are not finite"};
    }
    if (!moved(p.without_it)) {
      return {Answer::no, fmt::format("the past is not used: with a past of {} or with none, the logits are the same",
                                      tokens(p.past))};
    }
    if (!moved(p.with_another)) {
      return {Answer::no, fmt::format("what the past holds is not used: with another text of {} in it the logits are "
                                      "the same",
                                      tokens(p.past))};
    }
    without_it = std::min(without_it, p.without_it);
    with_another = std::min(with_another, p.with_another);
  }
  return {Answer::yes,
          fmt::format("it is used: without it the logits move by {:.2g}, with another text in it by {:.2g}", without_it,
                      with_another)};
}

Finding control_finding(const Difference& twice) {
  if (twice.same_bits) return {Answer::yes, "control: the same whole run twice gives the same bits"};
  return {Answer::no,
          fmt::format("not deterministic: two equal runs without past are up to {:.2g} apart", twice.max_abs)};
}

Finding taken_finding() { return {Answer::yes, "a past that was used before is taken again"}; }

Finding refused_finding(std::string_view experiment, std::int64_t past, const Error& said) {
  const auto& text = said.text();
  const std::string found = text.found.empty() ? "" : fmt::format(" (found: {})", text.found);
  return {Answer::no,
          fmt::format("the system refuses to go on from a past that was used before ({}, a past of {}): {}{}",
                      experiment, tokens(past), text.what, found)};
}

std::vector<const Finding*> findings_to_show(const Evidence& e) {
  if (e.exists.shown == Answer::no) return {&e.exists, &e.used, &e.control};
  std::vector<const Finding*> all{&e.exists, &e.length, &e.used, &e.control};
  if (e.repeats.shown == Answer::no) all.push_back(&e.repeats);
  if (e.again.shown == Answer::no) all.push_back(&e.again);
  return all;
}

double largest_distance(const Logits& a, const Logits& b) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  double largest = 0;
  bool any_finite = a.values.empty();
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const float one = a.values[i], other = b.values[i];
    if (std::isnan(one) || std::isnan(other) || one == kInfinity || other == kInfinity) return std::nan("");
    any_finite = any_finite || std::isfinite(one) || std::isfinite(other);
    largest = std::max(largest, distance(one, other));
  }
  return any_finite ? largest : std::nan("");
}

}  // namespace pkv::check
