#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.h"
#include "checker/measure/generation.h"
#include "checker/measure/measure.h"
#include "checker/measure/reuse.h"
#include "show/columns.h"

namespace pkv::measure {
namespace {

// What a round does, one after the other.
using Job = std::function<void(Bench&, bool count)>;

struct Work {
  std::vector<GenerationRun> generation;
  std::vector<ReuseRun> reuse;

  // The machine's peaks. The variant after them is begun, or it alone would find the caches emptied.
  void measure_machine(Bench& bench, bool count) const {
    if (bench.yardstick.machine == nullptr || !count) return;
    bench.result.read_rate.push_back(bench.yardstick.machine->read_rate());
    bench.result.fma_rate.push_back(bench.yardstick.machine->fma_rate());
    generation.empty() ? reuse.front().begin(bench) : generation.front().begin(bench);
  }

  std::vector<Job> jobs() {
    std::vector<Job> all;
    all.emplace_back([this](Bench& b, bool count) { measure_machine(b, count); });
    for (GenerationRun& g : generation) {
      all.emplace_back([&g](Bench& b, bool count) { g.with_past(b, count); });
      all.emplace_back([&g](Bench& b, bool count) { g.without_past(b, count); });
    }
    for (ReuseRun& r : reuse) {
      for (int way = 0; way < Reuse::ways; ++way) {
        const auto w = static_cast<Reuse::Way>(way);
        if (r.has(w)) all.emplace_back([&r, w](Bench& b, bool count) { r.run(b, w, count); });
      }
    }
    return all;
  }
};

void require(bool good, std::string_view what, std::string_view expected, const std::vector<std::int64_t>& found) {
  if (good) return;
  fail_usage({.what = fmt::format("nothing can be measured with these {}", what),
              .expected = std::string(expected),
              .found = fmt::format("{}", fmt::join(found, ", "))});
}

void check(const Options& o) {
  const auto at_least = [](const std::vector<std::int64_t>& values, std::int64_t least) {
    return std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v >= least; });
  };
  require(o.new_tokens >= 0, "new tokens", "at least 0; 0 leaves generation out", {o.new_tokens});
  require(o.repetitions > 0, "repetitions", "at least 1", {o.repetitions});
  require(at_least(o.prompt_tokens, 1), "prompt tokens", "numbers of at least 1", o.prompt_tokens);
  require(at_least(o.depths, 0), "depths", "numbers of at least 0", o.depths);
  const bool rising = std::ranges::adjacent_find(o.prefix_tokens, std::greater_equal<>()) == o.prefix_tokens.end();
  require(rising && at_least(o.prefix_tokens, 1), "prefix tokens", "numbers of at least 1, each larger than the last",
          o.prefix_tokens);
}

// The tokens that a generation feeds: the last new one is not fed.
std::int64_t fed(std::int64_t depth, std::int64_t prompt, const Options& o) {
  return depth + prompt + o.new_tokens - 1;
}

void leave_out(Bench& bench, std::string what) {
  const session::Description& d = bench.result.subject;
  bench.result.notes.push_back(
      fmt::format("{} left out: {} is {}.", what, d.longest_is, show::counted(d.longest, "token")));
}

[[noreturn]] void refuse_empty_plan(const session::Description& subject, const Options& o) {
  std::optional<std::int64_t> shortest;
  const auto take = [&](std::int64_t tokens) { shortest = std::min(shortest.value_or(tokens), tokens); };
  if (o.new_tokens > 0) {
    for (const std::int64_t depth : o.depths) {
      for (const std::int64_t prompt : o.prompt_tokens) take(fed(depth, prompt, o));
    }
  }
  for (const std::int64_t prefix : o.prefix_tokens) take(prefix + 1);
  if (!shortest) {
    fail_usage({.what = "there is nothing to measure",
                .expected = "new tokens after a prompt, or prefixes to reuse",
                .hint = "--new-tokens, --prefix-tokens"});
  }
  fail_usage({.what = fmt::format("nothing of what is to be measured fits {}", subject.longest_is),
              .expected = fmt::format("at most {}", show::counted(subject.longest, "token")),
              .found = fmt::format("{} for the shortest", show::grouped(*shortest)),
              .hint = "fewer --new-tokens, shorter --prompt-tokens or --prefix-tokens"});
}

bool forks_and_rewinds(session::Subject& subject) {
  const auto session = subject.fresh();
  return session->fork() != nullptr && session->rewind() != nullptr;
}

// What needs a past more than once is left out where that cannot be.
Options without_forks(Options o, std::vector<std::string>& notes) {
  const bool deep = std::erase_if(o.depths, [](std::int64_t depth) { return depth > 0; }) > 0;
  const bool reuse = !o.prefix_tokens.empty();
  o.prefix_tokens.clear();
  if ((o.new_tokens == 0 || o.depths.empty()) && (deep || reuse)) {
    fail_usage({.what = "nothing of what is to be measured can be: this system cannot fork and rewind a past",
                .expected = "new tokens after a prompt at depth 0",
                .hint = "--new-tokens, --depth 0"});
  }
  constexpr std::string_view kWhy = "this system cannot fork and rewind a past.";
  if (deep) notes.push_back(fmt::format("Depths above 0 are left out: {}", kWhy));
  if (reuse) notes.push_back(fmt::format("The reuse of prefixes is left out: {}", kWhy));
  return o;
}

Result described(session::Subject& subject, const Costs* costs) {
  Result result{.subject = subject.describe()};
  if (result.subject.past_format.empty()) result.subject.past_format = result.subject.format;
  if (costs == nullptr) return result;
  result.weight_bytes = costs->weight_bytes();
  result.layer_fmas = costs->layer_fmas();
  result.output_fmas = costs->output_fmas();
  return result;
}

Work plan(Bench& bench, std::span<const std::int32_t> text) {
  const Options o = forks_and_rewinds(bench.subject) ? bench.options : without_forks(bench.options, bench.result.notes);
  const std::int64_t longest = bench.result.subject.longest;
  const auto fits = [&](std::int64_t tokens) { return longest == 0 || tokens <= longest; };
  Work work;
  std::vector<std::string> out;
  for (const std::int64_t depth : o.depths) {
    for (const std::int64_t prompt : o.prompt_tokens) {
      if (o.new_tokens == 0) continue;
      if (fits(fed(depth, prompt, o))) {
        work.generation.emplace_back(text.first(static_cast<std::size_t>(depth + prompt)), depth, o.new_tokens);
      } else {
        out.push_back(depth == 0 ? fmt::format("{}", prompt) : fmt::format("{} at depth {}", prompt, depth));
      }
    }
  }
  if (!out.empty()) leave_out(bench, fmt::format("{} new tokens after {} are", o.new_tokens, fmt::join(out, ", ")));
  out.clear();
  for (const std::int64_t prefix : o.prefix_tokens) {
    if (fits(prefix + 1)) {
      work.reuse.emplace_back(text.first(static_cast<std::size_t>(prefix + 1)));
    } else {
      out.push_back(fmt::format("{}", prefix));
    }
  }
  if (!out.empty()) leave_out(bench, fmt::format("A prefix of {} is", fmt::join(out, ", ")));
  if (work.generation.empty() && work.reuse.empty()) refuse_empty_plan(bench.result.subject, o);
  return work;
}

// A session that was fed the most tokens that any of `runs` has before what is measured; null where that is none.
template <class Run>
std::unique_ptr<session::Session> fed_for(Bench& bench, const std::vector<Run>& runs,
                                          std::span<const std::int32_t> text) {
  std::int64_t most = 0;
  for (const Run& run : runs) most = std::max(most, run.before());
  if (most == 0) return nullptr;
  auto session = bench.subject.fresh();
  session->skip(text.first(static_cast<std::size_t>(most)));
  return session;
}

std::int64_t untimed_rounds(const Bench& bench) { return std::max<std::int64_t>(0, bench.options.warmup - 1); }
std::int64_t rounds_of(const Bench& bench) { return untimed_rounds(bench) + bench.options.repetitions; }

void explore(Bench& bench, Work& work, std::span<const std::int32_t> text) {
  bench.to_explore = std::ssize(work.generation) * bench.options.new_tokens;
  {
    const auto session = fed_for(bench, work.generation, text);
    for (GenerationRun& g : work.generation) g.explore(bench, session.get());
  }
  if (work.reuse.empty() || !bench.rows.disagreements().empty()) return;
  std::unique_ptr<session::Session> session;
  const double seconds = timed(bench, [&] { session = fed_for(bench, work.reuse, text); });
  const auto longest = static_cast<double>(work.reuse.back().before());
  for (const ReuseRun& r : work.reuse) {  // about, until each is known
    bench.ticker.expect(static_cast<double>(1 + rounds_of(bench)) * seconds * static_cast<double>(r.before()) /
                        longest);
  }
  for (ReuseRun& r : work.reuse) r.explore(bench, *session);
}

// Forward and backward in turn. A speed of another answer is no speed: the first disagreement ends it.
void repeat(Bench& bench, Work& work) {
  const std::int64_t untimed = untimed_rounds(bench), rounds = rounds_of(bench);
  bench.ticker.forget();
  for (const GenerationRun& g : work.generation) g.expect(bench, rounds);
  for (const ReuseRun& r : work.reuse) r.expect(bench, rounds);
  std::vector<Job> jobs = work.jobs();
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (const Job& job : jobs) {
      if (!bench.rows.disagreements().empty()) return;
      job(bench, round >= untimed);
    }
    if (round >= untimed && bench.yardstick.machine != nullptr && bench.rows.disagreements().empty()) {
      for (GenerationRun& g : work.generation) g.add_shares(bench);
    }
    std::reverse(jobs.begin(), jobs.end());
  }
}

void note_what_is_missing(Result& result) {
  for (const Generation& g : result.generation) {
    if (!g.sampled()) continue;
    result.notes.push_back(fmt::format(
        "Without past, {} of the {} tokens after {} were timed; totals without past are interpolated between them.",
        g.without_past.positions.size(), g.new_tokens, g.depth + g.prompt));
  }
  if (result.reuse.empty()) return;
  const auto none = [&](Reuse::Way way) {
    return std::ranges::all_of(result.reuse, [&](const Reuse& r) { return r.seconds[way].empty(); });
  };
  if (none(Reuse::page_cache)) {
    result.notes.push_back("Saved pasts are left out: this system cannot save one.");
    return;
  }
  if (none(Reuse::disk)) {
    result.notes.push_back("Reading from the disk is left out: the system keeps the file in memory.");
    return;
  }
  for (const Reuse& r : result.reuse) {
    const std::int64_t kept = result.repetitions - std::ssize(r.seconds[Reuse::disk]);
    if (kept == 0) continue;
    result.notes.push_back(fmt::format(
        "Prefix {}: {} of the {} readings from the disk are left out, for the system kept the file in memory.",
        show::grouped(r.prefix), kept, result.repetitions));
  }
}

}  // namespace

std::int64_t text_needed(const Options& o) {
  const auto longest = [](const std::vector<std::int64_t>& values) {
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  };
  return std::max(longest(o.depths) + longest(o.prompt_tokens), longest(o.prefix_tokens) + 1);
}

Result run(session::Subject& subject, const Yardstick& yardstick, std::span<const std::int32_t> text,
           const Options& options) {
  check(options);
  if (std::ssize(text) < text_needed(options)) {
    fail_usage({.what = "the text is too short for what is to be measured",
                .expected = show::counted(text_needed(options), "token"),
                .found = show::counted(std::ssize(text), "token")});
  }
  Bench bench{.subject = subject,
              .yardstick = yardstick,
              .options = options,
              .rows = {},
              .ticker = Ticker(options.clock, options.progress),
              .result = described(subject, yardstick.costs)};
  bench.result.repetitions = options.repetitions;
  bench.result.warmup = std::max<std::int64_t>(1, options.warmup);
  Work work = plan(bench, text);
  explore(bench, work, text);
  if (bench.rows.disagreements().empty()) repeat(bench, work);
  bench.ticker.finish();
  Result result = std::move(bench.result);
  result.rows_compared = bench.rows.compared();
  result.disagreements = bench.rows.disagreements();
  if (!result.holds()) {  // there are no figures to speak of
    result.read_rate.clear();
    result.fma_rate.clear();
    return result;
  }
  if (yardstick.machine != nullptr) result.peak_memory = yardstick.machine->peak_memory();
  for (GenerationRun& g : work.generation) result.generation.push_back(g.take(yardstick.costs));
  for (ReuseRun& r : work.reuse) result.reuse.push_back(r.take());
  note_what_is_missing(result);
  return result;
}

std::optional<Ratio> gain(session::Subject& subject, std::span<const std::int32_t> text, std::int64_t new_tokens) {
  const std::int64_t prompt = std::ssize(text), longest = subject.describe().longest;
  if (new_tokens == 0 || (longest > 0 && prompt + new_tokens - 1 > longest)) return std::nullopt;
  const Result result =
      run(subject, {}, text,
          {.new_tokens = new_tokens, .prompt_tokens = {prompt}, .prefix_tokens = {}, .repetitions = 3, .seconds = 0.6});
  if (!result.holds()) return std::nullopt;
  return result.generation.at(0).faster();
}

}  // namespace pkv::measure
