#include "checker/served/versus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json.h"
#include "checker/served/verdict.h"
#include "show/columns.h"

namespace pkv::served {
namespace {

using Row = std::vector<std::int32_t>;

constexpr std::int64_t kFewest = 4;          // tokens
constexpr std::int64_t kWarmUpAndReply = 2;  // requests that do not depend on lengths
constexpr std::int64_t kPerLength = 3;       // computed anew; left there, and asked again
constexpr int kParts[] = {25, 50, 75, 100};  // percent of a text
constexpr double kRounding = 1.001;

using Both = std::array<Reply, 2>;

class Comparing {
 public:
  Comparing(Server& one, Server& other, const VersusTask& task) : servers_{&one, &other}, task_(task) {
    for (int i : {0, 1}) v_.about[i] = servers_[i]->about();
    v_.text = task.text;
    v_.tolerance = task.tolerance;
  }

  Versus run() {
    const bool ids = v_.about[0].can.ids && v_.about[1].can.ids;
    if (ids) {
      read_ids();
      by_lengths();
    } else {
      by_texts();
    }
    for (int i : {0, 1}) {
      v_.requests[i] = servers_[i]->requests();
      v_.about[i] = servers_[i]->about();
    }
    v_.step = std::max(printed_step(replies_[0]), printed_step(replies_[1]));
    judge();
    return std::move(v_);
  }

 private:
  void read_ids() {
    v_.ids = task_.ids.empty() ? servers_[0]->tokenize(task_.text) : task_.ids;
    v_.tokens = std::ssize(v_.ids);
    if (task_.ids.empty()) {
      const Row others = servers_[1]->tokenize(task_.text);
      v_.tokens_checked = true;
      v_.tokens_apart = apart(v_.ids, others);
    }
    if (v_.tokens < kFewest) {
      fail_usage({.what = "the prompt is too short to be kept in part",
                  .where = v_.about[0].url,
                  .expected = fmt::format("at least {} tokens", kFewest),
                  .found = show::counted(v_.tokens, "token")});
    }
    for (const About& about : v_.about) {
      const std::int64_t longest = v_.tokens + task_.options.new_tokens;
      if (!about.context || longest <= *about.context) continue;
      fail_usage({.what = "the prompt is too long for the server's context",
                  .where = about.url,
                  .expected = fmt::format("at most {} tokens", *about.context - task_.options.new_tokens),
                  .found = show::counted(v_.tokens, "token")});
    }
  }

  // "token 3 is 17 and 18"; nothing where they are the same.
  std::string apart(const Row& one, const Row& other) const {
    if (one == other) return {};
    const auto at = std::ranges::mismatch(one, other).in1 - one.begin();
    const auto shown = [&](const Row& ids) {
      return at < std::ssize(ids) ? fmt::format("id {}", ids[static_cast<std::size_t>(at)]) : std::string("the end");
    };
    return fmt::format("the two make other tokens of the text: {} and {} of them; token {} is {} of {}, {} of {}",
                       one.size(), other.size(), at + 1, shown(one), v_.about[0].api, shown(other), v_.about[1].api);
  }

  std::string key() { return fmt::format("pkv-{}", ++keys_); }

  Both ask(std::array<Question, 2> questions) {
    Both both;
    for (const int i : {0, 1}) {
      both[i] = servers_[i]->ask({&questions[i], 1}).front();
      replies_[i].push_back(both[i]);
    }
    if (task_.progress) task_.progress(std::min(servers_[1]->requests(), requests_), requests_);
    return both;
  }
  Both ask(const Question& question) { return ask({question, question}); }

  void plan(std::int64_t requests, std::int64_t longest) {
    requests_ = requests;
    if (task_.before) task_.before(requests, longest);
  }

  void by_lengths() {
    Plan lengths{.prefixes = task_.options.prefixes.empty() ? prefixes_of(v_.tokens) : task_.options.prefixes};
    require_prefixes(lengths.prefixes, v_.tokens);
    lengths.requests = kWarmUpAndReply + kPerLength * std::ssize(lengths.prefixes);
    fit(lengths, v_.tokens, task_.options.most_requests, kPerLength);
    v_.left_out = lengths.left_out;
    plan(lengths.requests, v_.tokens + task_.options.new_tokens);
    ask({.ids = Row(v_.ids.rbegin(), v_.ids.rend()), .past = Past::none, .key = key()});
    Both whole;
    for (const std::int64_t n : lengths.prefixes) {
      const Row prompt(v_.ids.begin(), v_.ids.begin() + n);
      whole = ask({.ids = prompt, .past = Past::none, .key = key()});
      add(show::counted(n, "token"), n, {}, whole);
    }
    if (lengths.prefixes.back() != v_.tokens) whole = ask({.ids = v_.ids, .past = Past::none, .key = key()});
    for (const std::int64_t n : lengths.prefixes) {
      Row before(v_.ids.begin(), v_.ids.begin() + n);
      const auto at = static_cast<std::size_t>(n);
      if (at < v_.ids.size()) {
        const auto other = std::ranges::find_if(v_.ids, [&](std::int32_t id) { return id != v_.ids[at]; });
        if (other != v_.ids.end()) before.push_back(*other);
      }
      const std::string same = key();
      ask({.ids = before, .past = Past::none, .key = same});
      const Both warm = ask({.ids = v_.ids, .past = Past::any, .key = same});
      Pair& pair = add(n == v_.tokens ? "all kept" : show::counted(n, "token") + " kept", v_.tokens, n, warm);
      move(pair, whole, warm);
    }
    reply_to({.ids = v_.ids, .past = Past::none, .key = key(), .new_tokens = task_.options.new_tokens});
  }

  void by_texts() {
    plan(kWarmUpAndReply + std::ssize(kParts) + 1, 0);
    // Whoever takes ids is asked the tokens that it makes of the text.
    const auto questions = [&](const std::string& text, Past past, int new_tokens) {
      std::array<Question, 2> both;
      for (const int i : {0, 1}) {
        both[i] = {.past = past, .key = "pkv-1", .new_tokens = new_tokens};
        if (v_.about[i].can.ids) {
          both[i].ids = servers_[i]->tokenize(text);
        } else {
          both[i].text = text;
        }
      }
      return both;
    };
    ask(questions("The quick brown fox jumps over the lazy dog.", Past::none, 1));
    Both whole;
    for (const int percent : kParts) {
      std::string part = task_.text;
      if (percent < 100) {
        const auto blank = part.rfind(' ', part.size() * static_cast<std::size_t>(percent) / 100);
        if (blank == part.npos || blank == 0) continue;
        part.resize(blank);
      }
      whole = ask(questions(part, Past::none, 1));
      add(percent == 100 ? "the text" : fmt::format("{} % of the text", percent), 0, {}, whole);
    }
    const Both again = ask(questions(task_.text, Past::any, 1));
    move(add("the text again", 0, 0, again), whole, again);
    for (const int i : {0, 1}) both_[i] = questions(task_.text, Past::none, task_.options.new_tokens)[i];
    add("its continuation", 0, {}, ask(both_));
  }

  void reply_to(const Question& question) {
    Both both = ask(question);
    add(show::counted(question.new_tokens, "new token"), v_.tokens, {}, both);
  }

  Pair& add(std::string name, std::int64_t tokens, std::optional<std::int64_t> kept, const Both& both) {
    Pair pair{.name = std::move(name), .tokens = tokens, .kept = kept};
    for (const int i : {0, 1}) {
      pair.reused[i] = both[i].reused;
      pair.seconds[i] = both[i].seconds;
      pair.wrote[i] = both[i].text;
    }
    // By ids where both name them: the pieces of a text may be spelled in two ways.
    const bool ids = !both[0].ids.empty() && !both[1].ids.empty();
    pair.same_text = ids ? both[0].ids == both[1].ids : both[0].text == both[1].text;
    if (ids && !pair.same_text)
      pair.parts_at = std::ranges::mismatch(both[0].ids, both[1].ids).in1 - both[0].ids.begin() + 1;
    pair.apart = between(both[0], both[1]);
    if (pair.apart) v_.seen = std::min(v_.seen, pair.apart->seen);
    return v_.pairs.emplace_back(std::move(pair));
  }

  // None where candidates are missing or one names ids and the other texts.
  static std::optional<Distance> between(const Reply& one, const Reply& other) {
    if (one.candidates.empty() || other.candidates.empty()) return std::nullopt;
    const Distance d = distance(one, other);
    return d.common > 0 ? std::optional(d) : std::nullopt;
  }

  void move(Pair& pair, const Both& anew, const Both& warm) {
    for (const int i : {0, 1}) pair.moved[i] = between(anew[i], warm[i]);
  }

  void judge();

  std::array<Server*, 2> servers_;
  const VersusTask& task_;
  Versus v_;
  std::vector<Reply> replies_[2];
  std::array<Question, 2> both_;
  std::int64_t requests_ = 0;
  int keys_ = 0;
};

double worst_of(const std::vector<Pair>& pairs, double Distance::*value, bool kept) {
  double most = 0;
  for (const Pair& p : pairs) {
    if (p.apart && p.kept.has_value() == kept) most = std::max(most, (*p.apart).*value);
  }
  return most;
}

double moved_most(const std::vector<Pair>& pairs, int which) {
  double most = 0;
  for (const Pair& p : pairs) {
    if (p.moved[which]) most = std::max(most, p.moved[which]->max_abs);
  }
  return most;
}

bool within(const Versus& v, const Pair& p) { return !p.apart || p.apart->kl <= v.tolerance; }

void add_moves(Versus& v) {
  for (const int i : {0, 1}) {
    const double moved = moved_most(v.pairs, i);
    const auto said = std::ranges::any_of(v.pairs, [&](const Pair& p) { return p.reused[i].value_or(0) > 0; });
    if (moved > 0) {
      v.verdict.reasons.push_back(
          fmt::format("with a part of the prompt kept {} moves by at most {} from its own answer", v.about[i].api,
                      show::short_number(moved)));
    } else if (said) {
      v.verdict.reasons.push_back(
          fmt::format("{} gives the same with a part of the prompt kept as without", v.about[i].api));
    }
  }
}

void Comparing::judge() {
  Verdict& verdict = v_.verdict;
  const auto& pairs = v_.pairs;
  const bool numbers = std::ranges::any_of(pairs, [](const Pair& p) { return p.apart.has_value(); });
  const auto flips = std::ranges::count_if(pairs, [](const Pair& p) { return p.apart && !p.apart->top_same; });
  const bool texts =
      std::ranges::any_of(pairs, [](const Pair& p) { return !p.wrote[0].empty() || !p.wrote[1].empty(); });
  const auto other_text = std::ranges::count_if(pairs, [](const Pair& p) { return !p.same_text; });
  const double far = std::max(worst_of(pairs, &Distance::max_abs, false), worst_of(pairs, &Distance::max_abs, true));
  const double kl = std::max(worst_of(pairs, &Distance::kl, false), worst_of(pairs, &Distance::kl, true));
  const double cold_kl = worst_of(pairs, &Distance::kl, false);
  const std::string how =
      numbers ? fmt::format("at most {} apart, a divergence of at most {} nats; {}", show::short_number(far),
                            show::short_number(kl, 2),
                            flips == 0 ? "top token the same"
                                       : fmt::format("another token is the most likely in {} of {}", flips,
                                                     show::counted(std::ssize(pairs), "answer")))
              : fmt::format("{} of {} with another text", other_text, show::counted(std::ssize(pairs), "answer"));
  if (!numbers && !texts) {
    verdict.outcome = Outcome::empty;
    verdict.sentence = "no answer of both holds anything that could be compared";
  } else if (!v_.tokens_apart.empty()) {
    verdict.outcome = Outcome::differs;
    verdict.sentence = v_.tokens_apart + fmt::format(". Asked the tokens of the first they are {}", how);
  } else if (std::ranges::all_of(pairs, &Pair::same)) {
    verdict.outcome = Outcome::identical;
    verdict.sentence = fmt::format("{} of both are the same{}", show::counted(std::ssize(pairs), "answer"),
                                   numbers ? " in every digit" : " text");
  } else if (numbers && other_text == 0 && v_.step > 0 && far <= kRounding * v_.step) {
    verdict.outcome = Outcome::within_digits;
    verdict.sentence =
        fmt::format("{} of both are the same to the digits printed", show::counted(std::ssize(pairs), "answer"));
  } else if (numbers && std::ranges::all_of(pairs, [&](const Pair& p) { return within(v_, p); })) {
    verdict.outcome = Outcome::alike;
    verdict.sentence = fmt::format("the same answers but for rounding: {}", how);
  } else {
    verdict.outcome = Outcome::differs;
    const bool only_warm = numbers && cold_kl <= v_.tolerance;
    verdict.sentence =
        fmt::format("the two give other answers{}: {}",
                    only_warm ? " where a part of the prompt was kept, and alike ones without" : "", how);
  }
  if (numbers && verdict.outcome != Outcome::identical) {
    verdict.reasons.push_back(
        fmt::format("alike are answers of up to {} nats (--tolerance)", show::short_number(v_.tolerance)));
  }
  if (v_.tokens > 0 && v_.tokens_checked && v_.tokens_apart.empty()) {
    verdict.reasons.push_back(fmt::format("both make the same {} of the text", show::counted(v_.tokens, "token")));
  }
  if (v_.tokens == 0)
    verdict.reasons.emplace_back("asked as text: whether both make the same tokens of it was not seen");
  if (numbers && other_text > 0) {
    const Pair& p = *std::ranges::find(pairs, false, &Pair::same_text);
    verdict.reasons.push_back(fmt::format("{} of {} went on in another way; {}: {} and {}{}", other_text,
                                          show::counted(std::ssize(pairs), "answer"), p.name, quote(p.wrote[0]),
                                          quote(p.wrote[1]),
                                          p.parts_at ? fmt::format(", from token {} on", *p.parts_at) : ""));
  }
  add_moves(v_);
  if (!numbers && texts) verdict.reasons.emplace_back("their candidates cannot be compared: only what they wrote was");
  constexpr double kMost = 0.999;
  if (numbers && v_.seen < kMost) {
    verdict.reasons.push_back(
        fmt::format("both showed {:.1f} % of the probability; what the rest does would not be seen", 100 * v_.seen));
  }
  if (v_.left_out > 0) {
    verdict.reasons.push_back(fmt::format("{} left out by --max-requests", show::counted(v_.left_out, "length")));
  }
}

}  // namespace

Versus compare(Server& one, Server& other, const VersusTask& task) { return Comparing(one, other, task).run(); }

}  // namespace pkv::served
