#include "checker/served/timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "show/columns.h"

namespace pkv::served {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::int64_t kFewestOfAPrompt = 4;
constexpr double kCharactersOfAToken = 4.5;   // of English, about; for servers that take text alone
constexpr int kShares[] = {25, 50, 75, 100};  // percent of a text

std::vector<double> seconds_of(const Kept& kept) {
  std::vector<double> seconds;
  for (const FirstToken& sample : kept.samples) seconds.push_back(sample.seconds);
  return seconds;
}

// 1, 4, 16, ..., a half, three quarters and all of `tokens`.
std::vector<std::int64_t> some_prefixes(std::int64_t tokens) {
  std::set<std::int64_t> all{tokens / 2, 3 * tokens / 4, tokens};
  for (std::int64_t n = 1; n < tokens / 2; n *= 4) all.insert(n);
  all.erase(0);
  return {all.begin(), all.end()};
}

// The first `percent` of a text, to the end of a word; the whole of it at 100.
std::string share_of(const std::string& text, int percent) {
  if (percent >= 100) return text;
  const std::size_t at = text.rfind(' ', text.size() * static_cast<std::size_t>(percent) / 100);
  return at == text.npos || at == 0 ? text.substr(0, text.find(' ')) : text.substr(0, at);
}

class Stopwatch {
 public:
  Stopwatch(Server& server, const TimingOptions& options) : server_(server), options_(options) {
    timing_.about = server.about();
    anew_ = timing_.about.can.ids && timing_.about.can.cold;
  }

  Timing run() {
    if (timing_.about.can.ids) base_ = server_.tokenize(options_.text);
    plan();
    warm_up();
    for (std::int64_t round = 0; round < timing_.repetitions; ++round) {
      for (Prompt& prompt : timing_.prompts) one_round(prompt, round % 2 == 1);
    }
    finish();
    return std::move(timing_);
  }

 private:
  const About& about() const { return timing_.about; }

  void plan() {
    const auto lengths = options_.prompt_tokens.empty() ? std::vector<std::int64_t>{0} : options_.prompt_tokens;
    for (const std::int64_t length : lengths) add_prompt(length);
    std::int64_t of_a_round = 0, longest = 0;
    for (const Prompt& p : timing_.prompts) {
      of_a_round += 1 + 2 * std::ssize(p.kept);
      longest = std::max(longest, p.tokens);
    }
    const std::int64_t room = (options_.most_requests - 1) / of_a_round;
    if (room < 1) {
      fail_usage({.what = "too few requests to time every prefix once",
                  .where = "--max-requests",
                  .expected = fmt::format("at least {}", of_a_round + 1),
                  .found = fmt::format("{}", options_.most_requests),
                  .hint = "--prefix-tokens with fewer lengths"});
    }
    timing_.repetitions = std::min(options_.repetitions, room);
    if (timing_.repetitions < options_.repetitions) {
      timing_.notes.push_back(fmt::format("{} of {}, as --max-requests has it",
                                          show::counted(timing_.repetitions, "repetition"), options_.repetitions));
    }
    requests_ = 1 + timing_.repetitions * of_a_round;
    if (options_.before) options_.before(requests_, longest);
  }

  // `length`: in tokens; 0: of the text as it is.
  void add_prompt(std::int64_t length) {
    Prompt prompt{.anew = {.name = "computed anew", .wanted = 0}};
    if (!about().can.ids) {
      std::string& text = texts_.emplace_back(options_.text);
      if (length > 0) {
        const auto size = static_cast<std::size_t>(kCharactersOfAToken * static_cast<double>(length));
        while (text.size() < size) text += " " + options_.text;
        text = share_of(text, static_cast<int>(std::min<std::size_t>(100, 100 * size / text.size())));
      }
      if (!options_.prefixes.empty()) {
        fail_usage({.what = "this server takes no token ids, so that no number of tokens can be kept",
                    .where = "--prefix-tokens",
                    .expected = "a server that takes ids"});
      }
      prompt.name = show::counted(std::ssize(text), "character");
      for (const int percent : kShares) {
        prompt.kept.push_back({.name = percent == 100 ? "all kept" : fmt::format("{} % kept", percent)});
      }
      timing_.prompts.push_back(std::move(prompt));
      return;
    }
    prompt.tokens = length > 0 ? length : std::ssize(base_);
    const auto wanted = options_.prefixes.empty() ? some_prefixes(prompt.tokens) : options_.prefixes;
    const std::set<std::int64_t> prefixes(wanted.begin(), wanted.end());
    require_room(prompt.tokens, prefixes);
    prompt.name = show::counted(prompt.tokens, "token");
    for (const std::int64_t n : prefixes) {
      prompt.kept.push_back(
          {.name = n == prompt.tokens ? "all kept" : show::counted(n, "token") + " kept", .wanted = n});
    }
    timing_.prompts.push_back(std::move(prompt));
  }

  void require_room(std::int64_t tokens, const std::set<std::int64_t>& prefixes) const {
    if (tokens < kFewestOfAPrompt) {
      fail_usage({.what = "the prompt is too short to be kept in part",
                  .where = about().url,
                  .expected = fmt::format("at least {} tokens", kFewestOfAPrompt),
                  .found = show::counted(tokens, "token")});
    }
    if (about().context && tokens + 1 > *about().context) {
      fail_usage({.what = "the prompt is too long for the server's context",
                  .where = about().url,
                  .expected = fmt::format("at most {} tokens", *about().context - 1),
                  .found = show::counted(tokens, "token")});
    }
    if (prefixes.empty() || *prefixes.begin() < 1 || *prefixes.rbegin() > tokens) {
      fail_usage({.what = "not a prefix of the prompt",
                  .where = "--prefix-tokens",
                  .expected = fmt::format("lengths from 1 to {}", tokens),
                  .found = prefixes.empty()
                               ? "none"
                               : fmt::format("{}", *prefixes.begin() < 1 ? *prefixes.begin() : *prefixes.rbegin())});
    }
  }

  // The first request after a model was loaded may take another way. Whether tokens come as they are made shows, too.
  void warm_up() {
    Question q{.past = Past::none, .key = "pkv-0"};
    std::string text = "The quick brown fox jumps over the lazy dog.";
    if (about().can.ids) {
      q.ids = server_.tokenize(text);
    } else {
      q.text = text;
    }
    q.stream = about().can.streams;
    try {
      const Reply reply = ask(q);
      timing_.streamed = reply.first_seconds.has_value();
    } catch (const Error& e) {
      if (e.kind() != Error::Kind::load || !q.stream) throw;
      q.stream = false;
      ask(q);
      timing_.notes.emplace_back("the server refuses to send tokens as they are made");
    }
  }

  Reply ask(const Question& q) {
    Reply reply = server_.ask({&q, 1}).front();
    if (options_.progress) options_.progress(std::min(server_.requests(), requests_), requests_);
    return reply;
  }

  void one_round(Prompt& prompt, bool backward) {
    const auto n = prompt.kept.size() + 1;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t which = backward ? n - 1 - i : i;
      one(prompt, which == 0 ? nullptr : &prompt.kept[which - 1]);
    }
  }

  // `kept`: null where the prompt is computed anew.
  void one(Prompt& prompt, Kept* kept) {
    const auto number = static_cast<std::size_t>(&prompt - timing_.prompts.data());
    const std::string key = fmt::format("pkv-{}", ++asked_);
    Question question{.past = Past::none, .key = key, .stream = timing_.streamed};
    const std::string mark = anew_ ? "" : fmt::format("[{}-{}] ", options_.mark, asked_);
    const std::string text = about().can.ids ? "" : mark + texts_[number];
    Tokens ids;
    if (about().can.ids) ids = prompt_of(mark, prompt.tokens);
    if (kept != nullptr) {
      Question before{.past = Past::none, .key = key};
      if (kept->wanted) {
        before.ids = {ids.begin(), ids.begin() + *kept->wanted};
        const auto at = static_cast<std::size_t>(*kept->wanted);
        if (at < ids.size()) before.ids.push_back(another(ids, ids[at]));
      } else {
        before.text = share_of(text, kShares[kept - prompt.kept.data()]);
      }
      ask(before);
      question.past = Past::any;
    }
    question.ids = std::move(ids);
    question.text = text;
    const Reply reply = ask(question);
    if (timing_.streamed && !reply.first_seconds) whole_answers_++;
    Kept& row = kept == nullptr ? prompt.anew : *kept;
    row.samples.push_back({.seconds = reply.first_seconds.value_or(reply.seconds), .reused = reply.reused});
    if (anew_) compare(number, kept != nullptr, reply);
  }

  // The prompt's answer computed anew stands for all others of the same prompt.
  void compare(std::size_t prompt, bool warm, const Reply& reply) {
    answers_.resize(std::max(answers_.size(), prompt + 1));
    auto& [anew, others] = answers_[prompt];
    if (!warm) anew = reply.text;
    if (warm) others.push_back(reply.text);
  }

  Tokens prompt_of(const std::string& mark, std::int64_t tokens) {
    Tokens ids;
    if (!mark.empty()) ids = server_.tokenize(mark);
    for (std::size_t i = 0; std::ssize(ids) < tokens; ++i) ids.push_back(base_[i % base_.size()]);
    ids.resize(static_cast<std::size_t>(tokens));
    return ids;
  }

  static std::int32_t another(const Tokens& ids, std::int32_t id) {
    const auto other = std::ranges::find_if(ids, [&](std::int32_t candidate) { return candidate != id; });
    return other == ids.end() ? id : *other;
  }

  void finish() {
    for (const auto& [anew, others] : answers_) {
      timing_.compared += std::ssize(others);
      timing_.other_answers += std::ranges::count_if(others, [&](const std::string& text) { return text != anew; });
    }
    timing_.requests = server_.requests();
    const std::vector<std::string> mine = std::move(timing_.notes);
    timing_.about = server_.about();
    timing_.notes = timing_.about.notes;
    timing_.notes.insert(timing_.notes.end(), mine.begin(), mine.end());
    if (!timing_.streamed) {
      timing_.notes.emplace_back("the server does not send tokens as they are made: answers of one token were timed");
    }
    if (whole_answers_ > 0) {
      timing_.notes.push_back(fmt::format("{} brought no text by itself, and were timed as a whole",
                                          show::counted(whole_answers_, "answer")));
    }
    if (!anew_) {
      timing_.notes.emplace_back(
          "the server cannot be made to compute a prompt anew: each time a text was asked that it had never seen");
    }
  }

  Server& server_;
  const TimingOptions& options_;
  Timing timing_;
  bool anew_ = false;  // the same prompt can be computed anew
  Tokens base_;
  std::vector<std::string> texts_;  // [prompts], of a server that takes text alone
  std::vector<std::pair<std::string, std::vector<std::string>>> answers_;  // [prompts]: anew, and with a part kept
  std::int64_t requests_ = 0, asked_ = 0, whole_answers_ = 0;
};

}  // namespace

measure::Spread Kept::spread() const { return measure::spread_of(seconds_of(*this)); }

std::optional<std::int64_t> Kept::reused() const {
  std::vector<double> said;
  for (const FirstToken& sample : samples) {
    if (sample.reused) said.push_back(static_cast<double>(*sample.reused));
  }
  if (said.empty()) return std::nullopt;
  return static_cast<std::int64_t>(measure::median_of(said));
}

measure::Ratio Prompt::faster(const Kept& than) const { return measure::ratio_of(anew.spread(), than.spread()); }

bool Timing::reused() const {
  bool said = false;
  for (const Prompt& prompt : prompts) {
    for (const Kept& kept : prompt.kept) {
      if (kept.reused().value_or(0) > 0) return true;
      said |= kept.reused().has_value();
    }
  }
  return !said;
}

Timing time_first_tokens(Server& server, const TimingOptions& options) { return Stopwatch(server, options).run(); }

}  // namespace pkv::served
