#include "checker/served/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "show/columns.h"

namespace pkv::served {
namespace {

using Experiments = std::vector<const Experiment*>;

Experiments those(const Report& r, const std::function<bool(const Experiment&)>& wanted) {
  Experiments found;
  for (const Experiment& e : r.experiments) {
    if (e.left_out.empty() && wanted(e)) found.push_back(&e);
  }
  return found;
}

bool is_control(const Experiment& e) { return e.kind == Kind::control; }
bool is_company(const Experiment& e) { return e.kind == Kind::companions; }
bool of_a_past(const Experiment& e) { return !is_control(e) && !is_company(e); }
bool differs(const Experiment& e) { return !e.same(); }

// Beyond what a step of the last printed digit explains.
bool differs_much(const Report& r, const Experiment& e) {
  constexpr double kRounding = 1.001;
  const bool digits = e.distance && r.step > 0 && e.same_text && e.distance->max_abs <= kRounding * r.step;
  return differs(e) && !digits;
}

// Something was reused, as far as anybody says.
bool was_warm(const Experiment& e) { return of_a_past(e) && (!e.reused || *e.reused > 0); }

double furthest(const Experiments& some) {
  double most = 0;
  for (const Experiment* e : some) most = std::max(most, e->distance ? e->distance->max_abs : 0);
  return most;
}

// "at most 0.204 apart, top token the same"
std::string how_far(const Experiments& some) {
  const bool numbers = std::ranges::any_of(some, [](const Experiment* e) { return e->distance.has_value(); });
  const bool flips = std::ranges::any_of(
      some, [](const Experiment* e) { return (e->distance && !e->distance->top_same) || !e->same_text; });
  if (!numbers) return "it writes another text";
  return fmt::format("at most {} apart, {}", show::short_number(furthest(some)),
                     flips ? "and another token is the most likely" : "top token the same");
}

std::vector<std::int64_t> reused_of(const Experiments& some) {
  std::vector<std::int64_t> lengths;
  for (const Experiment* e : some) {
    if (e->kind == Kind::prefix) lengths.push_back(e->reused.value_or(*e->wanted));
  }
  std::ranges::sort(lengths);
  lengths.erase(std::ranges::unique(lengths).begin(), lengths.end());
  return lengths;
}

std::string names_of(const Experiments& some) {
  std::string names;
  for (const Experiment* e : some) names += (names.empty() ? "" : "; ") + e->name;
  return names;
}

void judge_differing(Report& r, const Experiments& warm, const Experiments& company) {
  Verdict& v = r.verdict;
  v.outcome = Outcome::differs;
  const auto prefix = [](const Experiment* e) { return e->kind == Kind::prefix; };
  const Experiments prefixes = those(r, [](const Experiment& e) { return e.kind == Kind::prefix; });
  if (std::ranges::any_of(warm, prefix)) {
    const auto all = reused_of(prefixes), bad = reused_of(warm);
    Experiments equal;
    std::ranges::copy_if(prefixes, std::back_inserter(equal), [](const Experiment* e) { return e->same(); });
    std::vector<std::int64_t> good;
    std::ranges::set_difference(reused_of(equal), bad, std::back_inserter(good));
    v.sentence = fmt::format(
        "with {} {} reused from its cache the server gives other answers than without: {}. Computed anew twice it "
        "gives the same{}",
        lengths_text(bad, all), bad == std::vector<std::int64_t>{1} ? "token" : "tokens", how_far(warm),
        good.empty() ? "" : fmt::format("; with {} reused, too", lengths_text(good, all)));
  } else if (!warm.empty()) {
    v.sentence =
        fmt::format("the server gives other answers than without its cache ({}): {}", names_of(warm), how_far(warm));
  } else {
    v.sentence =
        fmt::format("the server gives another answer {} than alone: {}", company.front()->name, how_far(company));
  }
  if (!warm.empty() && !company.empty()) {
    v.reasons.push_back(fmt::format("nothing reused, but other requests at once: {}", how_far(company)));
  }
}

void judge_empty(Report& r, const Experiments& pasts) {
  Verdict& v = r.verdict;
  v.outcome = Outcome::empty;
  const bool says = std::ranges::all_of(pasts, [](const Experiment* e) { return e->reused.has_value(); });
  if (!r.comparable) {
    v.sentence = "no answer holds anything that could be compared: neither a text nor log-probabilities";
  } else if (!pasts.empty() && says) {
    v.sentence = fmt::format("nothing was reused: 0 of {} in {}", show::counted(r.tokens, "token"),
                             show::counted(std::ssize(pasts), "request"));
  } else {
    v.sentence = "nothing was compared";
  }
}

// What no reply with something reused could be distinguished by.
void add_reasons(Report& r) {
  Verdict& v = r.verdict;
  constexpr double kMost = 0.999;
  if (r.seen < kMost && v.holds() && r.about.can.logprobs) {
    v.reasons.push_back(fmt::format(
        "the server showed {:.1f} % of the probability; a change among the rest would not be seen", 100 * r.seen));
  }
  if (!r.about.can.logprobs) {
    v.reasons.emplace_back("the server gives no log-probabilities: only what it wrote was compared");
  }
  if (!r.about.can.reports_reuse) {
    v.reasons.emplace_back("the server does not say what it reuses; the times are the only sign");
  }
  if (!r.about.can.cold) {
    v.reasons.emplace_back(
        "the server cannot be made to compute a prompt anew: texts that it had never seen were asked");
  }
  for (const std::string& oddity : r.oddities) v.reasons.push_back(oddity);
  if (r.plan.left_out > 0) {
    v.reasons.push_back(fmt::format("{} left out by --max-requests", show::counted(r.plan.left_out, "prefix length")));
  }
}

// More was reused than any prompt before it begins with.
bool reused_too_much(const Experiment& e) { return e.possible && e.reused && *e.reused > *e.possible; }

void add_out_of_place(Report& r) {
  const Experiments found = those(r, reused_too_much);
  if (found.empty()) return;
  const auto other = std::ranges::find(found, Kind::other_text, &Experiment::kind);
  const bool collision = other != found.end();
  const Experiment& e = collision ? **other : *found.front();
  r.causes.push_back(
      {.name = collision ? "past-of-another-text" : "reused-out-of-place",
       .statement = fmt::format("{}: {} were reused, but nothing asked before begins with more than {} of its tokens",
                                e.name, show::counted(*e.reused, "token"), *e.possible),
       .look_at = collision ? "how the cache finds an entry: a hash of too little, or a reply kept for another prompt"
                            : "chunks that are shifted to other positions (llama.cpp: --cache-reuse)"});
}

// Warm answers that differ where the server says that nothing was reused.
void add_not_reported(Report& r, const Experiments& warm) {
  for (const Experiment* e : warm) {
    if (!e->reused || *e->reused != 0) continue;
    r.causes.push_back(
        {.name = "hit-not-reported",
         .statement = fmt::format("{}: the answer changes, and the server says that it reused nothing", e->name),
         .look_at = "what counts the hits, and caches behind it"});
    return;
  }
  // Or an answer that comes far too soon for one that was computed anew.
  constexpr double kTimes = 4, kShortest = 0.02;
  for (const Experiment& e : r.experiments) {
    const bool says_none = e.kind == Kind::prefix && e.reused && *e.reused == 0 && *e.wanted > r.tokens / 2;
    if (!says_none || r.cold_seconds < kShortest || e.seconds * kTimes > r.cold_seconds) continue;
    r.causes.push_back({.name = "hit-not-reported",
                        .statement = fmt::format(
                            "{}: the answer came {} times faster than one computed anew, and the server says that "
                            "it reused nothing",
                            e.name, show::short_number(r.cold_seconds / e.seconds, 2)),
                        .look_at = "what counts the hits, and caches behind it"});
    return;
  }
}

// The same length reused twice with two answers: what was there before, or where the past lies.
void add_who_came_before(Report& r) {
  const Experiments warm = those(r, [](const Experiment& e) {
    return e.kind == Kind::prefix || e.kind == Kind::continuation || e.kind == Kind::restored;
  });
  for (const Experiment* a : warm) {
    for (const Experiment* b : warm) {
      if (a == b || !a->reused || a->reused != b->reused || !a->distance || !b->distance) continue;
      if (a->distance->max_abs == b->distance->max_abs) continue;
      r.causes.push_back(
          {.name = "depends-on-who-came-before",
           .statement = fmt::format("{} and {} reused {} alike, but are {} and {} from the answer "
                                    "computed anew",
                                    a->name, b->name, show::counted(*a->reused, "token"),
                                    show::short_number(a->distance->max_abs), show::short_number(b->distance->max_abs)),
           .look_at = "where in its memory a past lies, and what else lies there (llama.cpp: "
                      "--no-kv-unified, one slot)"});
      return;
    }
  }
}

void add_by_length(Report& r, const Experiments& warm) {
  const Experiments prefixes = those(r, [](const Experiment& e) { return e.kind == Kind::prefix && was_warm(e); });
  const auto bad = reused_of(warm), all = reused_of(prefixes);
  if (bad.empty()) return;
  const bool all_of_them = bad == all;
  r.causes.push_back(
      {.name = all_of_them ? "depends-on-reuse" : "depends-on-length",
       .statement = all_of_them
                        ? "every answer with a past differs: few tokens after a past are computed in another order "
                          "than the whole prompt at once, or from a past that is not the prompt's"
                        : fmt::format("answers differ with {} reused and not with other lengths: which kernels run "
                                      "depends on how many tokens are left to compute",
                                      lengths_text(bad, all)),
       .look_at =
           "products of few and of many rows, attention by length, block sizes; what a deterministic mode of the "
           "server changes"});
}

void find_causes(Report& r, const Experiments& warm, const Experiments& company) {
  if (r.verdict.outcome == Outcome::not_deterministic) {
    r.causes.push_back({.name = "not-deterministic",
                        .statement = "the same prompt, computed anew, gives other numbers",
                        .look_at = "atomics and split sums in kernels, other requests at the same time, speculative "
                                   "decoding; nothing can be said of the cache before this is mended"});
    return;
  }
  add_out_of_place(r);
  add_not_reported(r, warm);
  if (!warm.empty()) {
    add_who_came_before(r);
    add_by_length(r, warm);
  }
  if (!company.empty()) {
    r.causes.push_back(
        {.name = "depends-on-batch",
         .statement = fmt::format("the answer changes {}, though nothing is reused", company.front()->name),
         .look_at = "products whose order of summation depends on the number of rows; what a "
                    "batch-invariant mode of the server changes"});
  }
  const Experiments missed = those(
      r, [](const Experiment& e) { return e.kind == Kind::prefix && e.reused && *e.reused == 0 && *e.wanted > 1; });
  const Experiments prefixes = those(r, [](const Experiment& e) { return e.kind == Kind::prefix && *e.wanted > 1; });
  if (!missed.empty() && missed.size() == prefixes.size()) {
    r.causes.push_back({.name = "hit-ignored",
                        .statement = fmt::format("a past was left {} and never reused",
                                                 missed.size() == 1 ? "once" : fmt::format("{} times", missed.size())),
                        .look_at = "whether the server keeps pasts at all (a flag), for this kind of model (windows, "
                                   "states), for prompts this short"});
  }
}

}  // namespace

std::string_view name_of(Kind kind) {
  constexpr std::string_view names[] = {"control", "prefix",     "continuation", "edited",
                                        "cut",     "other-text", "again",        "fed-back",
                                        "evicted", "restored",   "companions",   "prompt-scores"};
  return names[static_cast<std::size_t>(kind)];
}

std::string_view name_of(Outcome outcome) {
  constexpr std::string_view names[] = {"identical", "equal to the printed digits", "alike",
                                        "differs",   "not deterministic",           "test is empty"};
  return names[static_cast<std::size_t>(outcome)];
}

std::string lengths_text(std::span<const std::int64_t> some, std::span<const std::int64_t> all) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < some.size();) {
    const auto at = std::ranges::find(all, some[i]) - all.begin();
    std::size_t run = 1;
    while (i + run < some.size() && at + static_cast<std::ptrdiff_t>(run) < std::ssize(all) &&
           all[static_cast<std::size_t>(at) + run] == some[i + run]) {
      ++run;
    }
    if (run >= 3) {
      parts.push_back(fmt::format("{} to {}", some[i], some[i + run - 1]));
      i += run;
    } else {
      parts.push_back(fmt::format("{}", some[i]));
      ++i;
    }
  }
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  }
  return text;
}

void settle(Report& r) {
  Verdict& v = r.verdict;
  const auto much = [&](const Experiment& e) { return differs_much(r, e); };
  const Experiments controls = those(r, is_control);
  const Experiments unstable = those(r, [&](const Experiment& e) { return is_control(e) && much(e); });
  const Experiments pasts = those(r, of_a_past);
  const Experiments warm = those(r, [&](const Experiment& e) { return of_a_past(e) && much(e); });
  const Experiments company = those(r, [&](const Experiment& e) { return is_company(e) && much(e); });
  if (!unstable.empty()) {
    v.outcome = Outcome::not_deterministic;
    v.sentence = fmt::format("the server does not repeat itself: {} gives other answers, {}", unstable.front()->name,
                             how_far(unstable));
  } else if (!warm.empty() || !company.empty()) {
    judge_differing(r, warm, company);
  } else if (!r.comparable || std::ranges::none_of(pasts, [](const Experiment* e) { return was_warm(*e); })) {
    judge_empty(r, pasts);
  } else {
    const Experiments used = those(r, was_warm);
    const bool same = std::ranges::all_of(used, [](const Experiment* e) { return e->same(); });
    v.outcome = same ? Outcome::identical : Outcome::within_digits;
    const auto lengths = reused_of(used);
    const bool known = std::ranges::any_of(used, [](const Experiment* e) { return e->reused.has_value(); });
    v.sentence = fmt::format("{} {} {} {} {}{}", show::counted(std::ssize(used), "answer"),
                             known ? "with something reused from its cache" : "to what was asked before",
                             same ? "agree in every digit with" : "agree to the digits printed with",
                             used.size() == 1 ? "the one" : "the ones", known ? "computed anew" : "given first",
                             lengths.empty() ? "" : fmt::format("; {} reused", lengths_text(lengths, lengths)));
  }
  find_causes(r, warm, company);
  add_reasons(r);
}

}  // namespace pkv::served
