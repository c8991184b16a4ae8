#include "checker/measure/generation.h"

#include <numeric>

#include "base/checksum.h"
#include "checker/session/answers.h"

namespace pkv::measure {
namespace {

constexpr std::int64_t kFewest = 3;  // tokens timed without past, however long they take

}  // namespace

GenerationRun::GenerationRun(std::span<const std::int32_t> text, std::int64_t depth, std::int64_t new_tokens)
    : generation_{.depth = depth, .prompt = std::ssize(text) - depth, .new_tokens = new_tokens},
      text_(text.begin(), text.end()) {
  generation_.with_past.positions = spread_positions(new_tokens, new_tokens);
  generation_.with_past.seconds.resize(generation_.with_past.positions.size());
}

// Feeds and chooses, which is what is timed; then compares the logits of new token `token`, or learns them.
double GenerationRun::step(Bench& bench, session::Session& session, std::span<const std::int32_t> ids,
                           std::int64_t token, const char* variant) {
  session::Logits logits;
  std::int32_t id = 0;
  const double seconds = timed(bench, [&] {
    logits = session::feed_last(session, ids, bench.result.subject.name);
    id = greedy(logits);
  });
  const std::uint64_t hash = hash_of(logits);
  if (token == std::ssize(hashes_)) {
    hashes_.push_back(hash);
    text_.push_back(id);
    bench.ticker.guess(static_cast<double>(++bench.explored) / static_cast<double>(bench.to_explore),
                       bench.options.repetitions);
  } else {
    bench.rows.compare(hashes_[static_cast<std::size_t>(token)], hash, variant, known() + token);
    bench.ticker.done(seconds);
  }
  return seconds;
}

void GenerationRun::explore(Bench& bench, session::Session* before) {
  if (generation_.depth > 0) {
    base_ = before->fork()->fork_session();
    base_->rewind()->truncate(generation_.depth);
  }
  with_seconds_ = timed(bench, [&] { with_past(bench, false); });
  const auto session = bench.subject.fresh();
  const auto last = static_cast<std::size_t>(known() + generation_.new_tokens - 1);
  const double seconds =
      step(bench, *session, std::span(text_).first(last), generation_.new_tokens - 1, "without past");
  choose_positions(bench, seconds);
}

// A token without past costs about as much as its text is long, so the last one tells what the others will cost.
void GenerationRun::choose_positions(const Bench& bench, double last) {
  const auto n = static_cast<double>(generation_.new_tokens), first = static_cast<double>(known());
  const double each = last * (first + (n - 1) / 2) / (first + n - 1);
  std::int64_t count = generation_.new_tokens;
  if (const double limit = bench.options.seconds; limit > 0 && each > 0) {
    const double fit = limit / (each * static_cast<double>(bench.options.repetitions));
    if (fit < n) count = std::max(kFewest, static_cast<std::int64_t>(fit));
  }
  generation_.without_past.positions = spread_positions(generation_.new_tokens, count);
  generation_.without_past.seconds.resize(generation_.without_past.positions.size());
  without_seconds_ = each * static_cast<double>(generation_.without_past.positions.size());
}

void GenerationRun::expect(Bench& bench, std::int64_t rounds) const {
  bench.ticker.expect(static_cast<double>(rounds) * (with_seconds_ + without_seconds_));
}

std::unique_ptr<session::Session> GenerationRun::start(Bench& bench) const {
  return base_ ? base_->fork()->fork_session() : bench.subject.fresh();
}

std::span<const std::int32_t> GenerationRun::ids_for(std::int64_t token) const {
  const std::span<const std::int32_t> all(text_);
  if (token > 0) return all.subspan(static_cast<std::size_t>(known() + token - 1), 1);
  return all.subspan(static_cast<std::size_t>(generation_.depth), static_cast<std::size_t>(generation_.prompt));
}

void GenerationRun::begin(Bench& bench) const {
  const auto session = start(bench);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(2, generation_.new_tokens); ++i) session->feed_last(ids_for(i));
}

void GenerationRun::with_past(Bench& bench, bool count) {
  const auto session = start(bench);
  double total = 0;
  for (std::int64_t i = 0; i < generation_.new_tokens; ++i) {
    const double seconds = step(bench, *session, ids_for(i), i, "with past");
    if (count) generation_.with_past.seconds[static_cast<std::size_t>(i)].push_back(seconds);
    total += seconds;
  }
  if (count) generation_.with_total.push_back(total);
}

void GenerationRun::add_shares(Bench& bench) {
  const double read = bench.result.read_rate.back(), fma = bench.result.fma_rate.back();
  const double first = generation_.with_past.seconds[0].back();
  const double rest = generation_.with_total.back() - first;
  const Costs* costs = bench.yardstick.costs;
  if (costs == nullptr) return;
  generation_.fma_share.push_back(costs->call_fmas(generation_.depth, generation_.prompt) / first / fma);
  if (generation_.new_tokens < 2) return;
  double bytes = 0;
  for (std::int64_t i = 1; i < generation_.new_tokens; ++i) bytes += costs->step_bytes(known() + i - 1);
  generation_.read_share.push_back(bytes / rest / read);
}

void GenerationRun::without_past(Bench& bench, bool count) {
  Curve& curve = generation_.without_past;
  std::vector<double> round;
  for (std::size_t i = 0; i < curve.positions.size(); ++i) {
    const auto session = bench.subject.fresh();
    const auto length = static_cast<std::size_t>(known() + curve.positions[i]);
    round.push_back(step(bench, *session, std::span(text_).first(length), curve.positions[i], "without past"));
    if (count) curve.seconds[i].push_back(round.back());
  }
  if (!count) return;
  const auto all = filled(curve.positions, round, generation_.new_tokens);
  generation_.without_total.push_back(std::accumulate(all.begin(), all.end(), 0.0));
}

Generation GenerationRun::take(const Costs* costs) {
  const std::int64_t middle = known() + generation_.new_tokens / 2;
  if (costs != nullptr) {
    generation_.bytes_per_token = costs->step_bytes(middle);
    generation_.flop_per_token = 2 * (costs->call_fmas(middle, 1) + costs->output_fmas());
  }
  generation_.hash = checksum_of_rows(hashes_);
  return std::move(generation_);
}

}  // namespace pkv::measure
