#include "checker/served/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <ranges>
#include <set>
#include <utility>

#include "base/error.h"
#include "checker/served/verdict.h"
#include "show/columns.h"

namespace pkv::served {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kFewestTokens = 4;
constexpr int kTexts = 4;        // of a server that cannot be made to forget
constexpr std::size_t kCut = 8;  // tokens

class Checking {
 public:
  Checking(Server& server, const Task& task) : server_(server), task_(task) { report_.about = server.about(); }

  Report run() {
    const About& about = report_.about;
    report_.text = task_.text;
    if (about.can.ids) read_ids();
    report_.plan = plan(about, report_.tokens, task_.options);
    if (task_.before) task_.before(report_.plan);
    warm_up();
    if (about.can.ids && about.can.cold) {
      by_prefixes();
    } else {
      first_and_again();
    }
    report_.requests = server_.requests();
    report_.about = server_.about();  // with what it said meanwhile
    report_.comparable = std::ranges::any_of(
        replies_, [](const Reply& r) { return !r.candidates.empty() || !r.ids.empty() || !r.text.empty(); });
    const auto any = [&](const auto& shown) { return std::ranges::any_of(replies_, shown); };
    report_.about.can.logprobs = any([](const Reply& r) { return !r.candidates.empty(); });
    report_.about.can.reports_reuse = any([](const Reply& r) { return r.reused.has_value(); });
    report_.step = printed_step(replies_);
    settle(report_);
    return std::move(report_);
  }

 private:
  void read_ids() {
    Ids& ids = report_.ids;
    ids = task_.ids.empty() ? server_.tokenize(task_.text) : task_.ids;
    report_.tokens = std::ssize(ids);
    const About& about = report_.about;
    if (report_.tokens < kFewestTokens) {
      fail_usage({.what = "the prompt is too short to be reused in part",
                  .where = about.url,
                  .expected = fmt::format("at least {} tokens", kFewestTokens),
                  .found = show::counted(report_.tokens, "token"),
                  .hint = "--text-file with a longer text"});
    }
    const std::int64_t longest = report_.tokens + task_.options.new_tokens;
    if (about.context && longest > *about.context) {
      fail_usage({.what = "the prompt is too long for the server's context",
                  .where = about.url,
                  .expected = fmt::format("at most {} tokens, so that others can be added",
                                          *about.context - (longest - report_.tokens)),
                  .found = show::counted(report_.tokens, "token")});
    }
    if (std::ranges::equal(ids | std::views::drop(1), ids | std::views::take(ids.size() - 1))) {
      fail_usage({.what = "the prompt repeats one token, so that no other text can be made of it", .where = about.url});
    }
  }

  Reply ask(Question question) {
    question.new_tokens = std::max(question.new_tokens, report_.answer_tokens);
    std::vector<Reply> replies = server_.ask({&question, 1});
    if (!question.ids.empty()) asked_.insert(question.ids);
    return take(std::move(replies.front()));
  }

  // How many of the first tokens stand at the beginning of something asked before; at most all but the last.
  std::int64_t possible(const Ids& ids) const {
    std::ptrdiff_t most = 0;
    for (const Ids& before : asked_) most = std::max(most, std::ranges::mismatch(ids, before).in1 - ids.begin());
    return std::min<std::int64_t>(most, std::ssize(ids) - 1);
  }

  Reply take(Reply reply) {
    for (const std::string& finding : reply.findings) note_oddity(finding);
    replies_.push_back(reply);
    if (task_.progress) task_.progress(std::min(server_.requests(), report_.plan.requests), report_.plan.requests);
    return reply;
  }

  void note_oddity(const std::string& oddity) {
    if (std::ranges::find(report_.oddities, oddity) == report_.oddities.end()) report_.oddities.push_back(oddity);
  }

  // Each key is used for one experiment alone.
  std::string fresh_key() { return fmt::format("pkv-{}", ++keys_); }

  // The first request after a model was loaded may take another way than all later ones.
  void warm_up() {
    Question question{.past = Past::none, .key = fresh_key()};
    if (report_.about.can.ids) {
      question.ids = other_text();
    } else {
      question.text = "The quick brown fox jumps over the lazy dog.";
    }
    // Where nothing but a text can be compared, one token of it says little.
    if (ask(question).candidates.empty()) report_.answer_tokens = task_.options.new_tokens;
  }

  Reply cold(const Ids& ids, int new_tokens = 1) {
    return ask({.ids = ids, .past = Past::none, .key = fresh_key(), .new_tokens = new_tokens});
  }

  // The reply to `ids` from a server that has just read `before`.
  Reply after(const Ids& before, const Ids& ids) {
    const std::string key = fresh_key();
    ask({.ids = before, .past = Past::none, .key = key});
    possible_ = possible(ids);
    return ask({.ids = ids, .past = Past::any, .key = key});
  }

  // A token of the prompt other than `id`.
  std::int32_t another(std::int32_t id, std::size_t from) const {
    const Ids& ids = report_.ids;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::int32_t candidate = ids[(from + i) % ids.size()];
      if (candidate != id) return candidate;
    }
    return id;
  }

  // Of the prompt's tokens from the back, with another first one.
  Ids other_text() const {
    Ids ids(report_.ids.rbegin(), report_.ids.rend());
    ids.front() = another(report_.ids.front(), ids.size() / 2);
    return ids;
  }

  // `possible_` is that of the reply.
  Experiment& add(Kind kind, std::string name, std::optional<std::int64_t> wanted, const Reply& reply,
                  const Reply& cold) {
    Experiment e{.kind = kind, .name = std::move(name), .wanted = wanted, .reused = reply.reused};
    if (wanted.value_or(0) > 0 || kind == Kind::other_text) e.possible = possible_;
    e.seconds = reply.seconds, e.cold_seconds = cold.seconds;
    e.same_text = reply.ids == cold.ids && reply.text == cold.text;
    if (reply.candidates.empty() != cold.candidates.empty()) {
      e.same_text = false;
      note_oddity(fmt::format("{}: one of two answers has log-probabilities, the other none", e.name));
    }
    if (!reply.candidates.empty() && !cold.candidates.empty()) {
      e.distance = distance(cold, reply);
      report_.seen = std::min(report_.seen, e.distance->seen);
    }
    return report_.experiments.emplace_back(std::move(e));
  }

  void leave_out(Kind kind, std::string name, std::string why) {
    report_.experiments.push_back({.kind = kind, .name = std::move(name), .left_out = std::move(why)});
  }

  void by_prefixes() {
    const Ids& ids = report_.ids;
    const Reply reference = cold(ids), second = cold(ids);
    add(Kind::control, "computed anew twice", 0, second, reference);
    cold_ = {reference.seconds, second.seconds};
    for (const std::int64_t n : report_.plan.prefixes) {
      Ids before(ids.begin(), ids.begin() + n);
      const auto at = static_cast<std::size_t>(n);
      if (at < ids.size()) before.push_back(another(ids[at], at + 1));
      const std::int64_t most = std::min(n, report_.tokens - 1);  // the last token is always computed
      add(Kind::prefix, n == report_.tokens ? "all kept" : show::counted(n, "token") + " kept", most,
          after(before, ids), reference);
    }
    changed_pasts(reference);
    fed_back();
    evicted(reference);
    restored(reference);
    prompt_scores();
    for (const int n : task_.options.companions) among_others(n, reference);
    const Reply last = cold(ids);
    add(Kind::control, "computed anew at the end", 0, last, reference);
    cold_.push_back(last.seconds);
    std::ranges::sort(cold_);
    report_.cold_seconds = cold_[cold_.size() / 2];
  }

  void changed_pasts(const Reply& reference) {
    const Ids& ids = report_.ids;
    const std::size_t half = ids.size() / 2;
    Ids goes_on(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(half));
    goes_on.push_back(another(ids[half], half + 1));
    std::reverse_copy(ids.begin(), ids.end(), std::back_inserter(goes_on));
    add(Kind::continuation, "half kept, with another continuation", half, after(goes_on, ids), reference);

    // Prompts that were never asked, so that what is reused can only be what they share with those that were.
    Ids edited = ids;
    edited[half] = another(ids[half], half + 2);
    after_the_prompt(Kind::edited, "a token in the middle edited", half, edited);
    Ids cut = ids;
    const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(half) - 1;
    cut.erase(cut.begin() + from, cut.begin() + from + static_cast<std::ptrdiff_t>(std::min(kCut, half)));
    after_the_prompt(Kind::cut, "tokens in the middle taken out", from, cut);
    Ids other = other_text();
    std::ranges::rotate(other, other.begin() + 1);
    if (other.front() == ids.front()) other.front() = another(ids.front(), half);
    after_the_prompt(Kind::other_text, "another text", 0, other);
  }

  void after_the_prompt(Kind kind, const std::string& name, std::int64_t wanted, const Ids& ids) {
    const Reply warm = after(report_.ids, ids);
    add(kind, name, wanted, warm, cold(ids));
  }

  // Does what the server kept of its own reply fit the reply fed as a prompt?
  void fed_back() {
    const std::string name = "its own reply fed back";
    const std::string key = fresh_key();
    const Reply reply =
        ask({.ids = report_.ids, .past = Past::none, .key = key, .new_tokens = task_.options.new_tokens});
    if (reply.ids.empty()) return leave_out(Kind::fed_back, name, "the server does not name the tokens that it writes");
    Ids longer = report_.ids;
    longer.insert(longer.end(), reply.ids.begin(), reply.ids.end());
    possible_ = std::ssize(longer) - 1;
    const Reply warm = ask({.ids = longer, .past = Past::any, .key = key});
    add(Kind::fed_back, name, std::ssize(longer) - 1, warm, cold(longer));
    fed_back_as_text(reply, longer);
  }

  // A reply that comes back as text may be cut into other tokens than it was written in; the past fits up to there.
  void fed_back_as_text(const Reply& written, const Ids& in_ids) {
    const std::string name = "its own reply fed back as text";
    if (task_.text.empty() || written.text.empty()) {
      return leave_out(Kind::fed_back, name,
                       task_.text.empty() ? "the prompt was given as ids" : "the server writes no text");
    }
    const Ids ids = server_.tokenize(task_.text + written.text);
    if (ids == in_ids) return leave_out(Kind::fed_back, name, "the text is cut into the same tokens");
    const std::string key = fresh_key();
    ask({.ids = report_.ids, .past = Past::none, .key = key, .new_tokens = task_.options.new_tokens});
    const std::int64_t fits = std::ranges::mismatch(ids, in_ids).in1 - ids.begin();
    possible_ = std::max(possible(ids), std::min<std::int64_t>(fits, std::ssize(ids) - 1));
    const Reply warm = ask({.ids = ids, .past = Past::any, .key = key});
    add(Kind::fed_back, name, std::min<std::int64_t>(fits, std::ssize(ids) - 1), warm, cold(ids));
  }

  void evicted(const Reply& reference) {
    const int others = task_.options.flood;
    if (others == 0) return;
    const std::string key = fresh_key();
    ask({.ids = report_.ids, .past = Past::none, .key = key});
    for (int i = 0; i < others; ++i) {
      Ids other = other_text();
      std::ranges::rotate(other, other.begin() + static_cast<std::ptrdiff_t>(i % other.size()));
      if (other.front() == report_.ids.front()) other.front() = another(report_.ids.front(), i);
      ask({.ids = std::move(other), .past = Past::any, .key = fresh_key()});
    }
    const Reply reply = ask({.ids = report_.ids, .past = Past::any, .key = key});
    const std::string prompts = show::counted(others, "other prompt");
    add(Kind::evicted, reply.reused == 0 ? "pushed out by " + prompts : "after " + prompts, {}, reply, reference);
  }

  void restored(const Reply& reference) {
    if (!report_.about.can.saves) return;
    const std::string name = "past saved and restored", key = fresh_key();
    ask({.ids = report_.ids, .past = Past::none, .key = key});
    const auto [kept, restored] = server_.save_and_restore();
    if (kept != restored) {
      report_.oddities.push_back(fmt::format("{} of {} tokens came back from its disk", restored, kept));
    }
    possible_ = report_.tokens - 1;
    add(Kind::restored, name, report_.tokens - 1, ask({.ids = report_.ids, .past = Past::any, .key = key}), reference);
  }

  void prompt_scores() {
    if (!report_.about.can.prompt_logprobs) return;
    const auto scored = [&](Past past, const std::string& key) {
      return ask({.ids = report_.ids, .past = past, .key = key, .prompt_logprobs = true});
    };
    const std::string name = "log-probabilities of the prompt", key = fresh_key();
    const Reply one = scored(Past::none, fresh_key()), two = scored(Past::none, key), warm = scored(Past::any, key);
    if (one.prompt_logprobs.empty()) return leave_out(Kind::prompt_scores, name, "the server gives none");
    possible_ = report_.tokens - 1;
    add_scores(name, report_.tokens - 1, warm, one);
    if (two.prompt_logprobs != one.prompt_logprobs) {
      report_.oddities.emplace_back("log-probabilities of the prompt are others when it is computed anew again");
    }
  }

  void add_scores(const std::string& name, std::optional<std::int64_t> wanted, const Reply& warm, const Reply& one) {
    Experiment& e = add(Kind::prompt_scores, name, wanted, warm, one);
    Distance& d = *(e.distance = Distance{});
    d.same = one.prompt_logprobs == warm.prompt_logprobs;
    d.common = std::ssize(one.prompt_logprobs);
    if (one.prompt_logprobs.size() != warm.prompt_logprobs.size()) e.same_text = false;
    const std::size_t n = std::min(one.prompt_logprobs.size(), warm.prompt_logprobs.size());
    for (std::size_t i = 0; i < n; ++i) {
      d.max_abs = std::max(d.max_abs, std::abs(one.prompt_logprobs[i] - warm.prompt_logprobs[i]));
    }
  }

  void among_others(int companions, const Reply& reference) {
    std::vector<Question> questions{{.ids = report_.ids, .past = Past::none, .key = fresh_key()}};
    for (int i = 1; i <= companions; ++i) {
      Ids other = other_text();
      std::ranges::rotate(other, other.begin() + static_cast<std::ptrdiff_t>(i % other.size()));
      if (other.front() == report_.ids.front()) other.front() = another(report_.ids.front(), i);
      questions.push_back({.ids = std::move(other), .past = Past::none, .key = fresh_key()});
    }
    add_among(questions, reference);
  }

  void add_among(const std::vector<Question>& questions, const Reply& reference) {
    std::vector<Question> all = questions;
    for (Question& q : all) q.new_tokens = report_.answer_tokens;
    std::vector<Reply> replies = server_.ask(all);
    const Reply among = take(std::move(replies.front()));
    const auto others = std::ssize(questions) - 1;
    add(Kind::companions, "while " + show::counted(others, "other request") + (others == 1 ? " runs" : " run"), 0,
        among, reference);
  }

  Question never_asked(int number) {
    Question question{.past = Past::any};
    const std::string text = fmt::format("[{}-{}] {}", task_.options.mark, number, report_.text);
    if (report_.about.can.ids) {
      question.ids = server_.tokenize(text);
    } else {
      question.text = text;
    }
    return question;
  }

  // A server that nobody can make forget, or that takes text alone: each of several texts, which it can never have
  // seen, is asked three times.
  void first_and_again() {
    for (int i = 1; i <= kTexts; ++i) {
      const Question question = never_asked(i);
      const Reply first = ask(question), second = ask(question), third = ask(question);
      cold_.push_back(first.seconds);
      add(Kind::again, fmt::format("text {}, asked again", i), {}, second, first);
      add(Kind::control, fmt::format("text {}, asked twice more", i), {}, third, second);
    }
    std::ranges::sort(cold_);
    report_.cold_seconds = cold_[cold_.size() / 2];
    if (report_.about.can.prompt_logprobs) {
      const std::string name = "log-probabilities of the prompt, asked again";
      Question question = never_asked(kTexts + 1);
      question.prompt_logprobs = true;
      const Reply first = ask(question), second = ask(question);
      if (first.prompt_logprobs.empty()) {
        leave_out(Kind::prompt_scores, name, "the server gives none");
      } else {
        add_scores(name, {}, second, first);
      }
    }
    for (const int n : task_.options.companions) {
      Question question{.text = report_.text, .past = Past::any};
      if (report_.about.can.ids) question.ids = report_.ids;
      const Reply alone = ask(question);
      std::vector<Question> questions(static_cast<std::size_t>(n) + 1, question);
      for (int i = 1; i <= n; ++i) questions[i].text = fmt::format("{}: {}", i, report_.text);
      add_among(questions, alone);
    }
  }

  Server& server_;
  const Task& task_;
  Report report_;
  std::vector<Reply> replies_;
  std::vector<double> cold_;
  std::set<Ids> asked_;
  std::int64_t possible_ = 0;
  int keys_ = 0;
};

}  // namespace

Report check(Server& server, const Task& task) { return Checking(server, task).run(); }

}  // namespace pkv::served
