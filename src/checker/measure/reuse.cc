#include "checker/measure/reuse.h"

#include <fmt/format.h>

#include "checker/session/answers.h"

namespace pkv::measure {

ReuseRun::ReuseRun(std::span<const std::int32_t> text)
    : reuse_{.prefix = std::ssize(text) - 1}, text_(text.begin(), text.end()) {}

void ReuseRun::explore(Bench& bench, session::Session& longest) {
  base_ = longest.fork()->fork_session();
  base_->rewind()->truncate(reuse_.prefix);
  if (session::Save* save = base_->save()) reuse_.save_seconds = timed(bench, [&] { saved_ = save->save_past(); });
  if (saved_) reuse_.saved_bytes = saved_->bytes();
  for (int way = 0; way < Reuse::ways; ++way) {
    available_[way] = way <= Reuse::memory || saved_;
    if (way == Reuse::disk && saved_) available_[way] = saved_->leave_memory();
    if (!available_[way]) continue;
    seconds_[way] = timed(bench, [&] { run(bench, static_cast<Reuse::Way>(way), false); });
  }
}

void ReuseRun::expect(Bench& bench, std::int64_t rounds) const {
  for (const double s : seconds_) bench.ticker.expect(static_cast<double>(rounds) * s);
}

void ReuseRun::run(Bench& bench, Reuse::Way way, bool count) {
  const std::span<const std::int32_t> all(text_), last = all.last(1);
  if (way == Reuse::page_cache) saved_->restore()->feed_last(last);  // reads what an earlier round sent to the disk
  if (way == Reuse::disk) count = saved_->leave_memory() && count;
  std::unique_ptr<session::Session> session;
  session::Logits logits;
  const double seconds = timed(bench, [&] {
    session = way == Reuse::recomputed ? bench.subject.fresh()
              : way == Reuse::memory   ? base_->fork()->fork_session()
                                       : saved_->restore();
    logits = session::feed_last(*session, way == Reuse::recomputed ? all : last, bench.result.subject.name);
  });
  const std::uint64_t hash = hash_of(logits);
  if (hash_) {
    bench.rows.compare(*hash_, hash, fmt::format("prefix {}", name_of(way)), std::ssize(text_));
  } else {
    hash_ = hash;
  }
  if (count) reuse_.seconds[way].push_back(seconds);
  bench.ticker.done(seconds);
}

Reuse ReuseRun::take() {
  reuse_.hash = hash_.value();
  return std::move(reuse_);
}

}  // namespace pkv::measure
