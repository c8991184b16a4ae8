#include "subjects/asked.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/clock.h"

namespace pkv::subjects {
namespace {

std::vector<served::Candidate> likeliest(std::span<const float> logits, int count) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float l : logits) sum += std::exp(static_cast<double>(l) - most);
  const double rest = most + std::log(sum);
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n = std::min<std::ptrdiff_t>(count, std::ssize(order));
  std::ranges::partial_sort(order, order.begin() + n, [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<served::Candidate> candidates;
  for (const std::int32_t id : std::span(order).first(static_cast<std::size_t>(n))) {
    candidates.push_back({.id = id, .logprob = std::min(0.0, static_cast<double>(logits[id]) - rest)});
  }
  return candidates;
}

}  // namespace

Asked::Asked(session::Subject& subject, AskedOptions options) : subject_(subject), options_(std::move(options)) {
  const session::Description d = subject.describe();
  about_ = {.url = options_.where, .api = "pkv", .version = options_.version, .model = d.name};
  about_.cold = "a session of its own";
  about_.can = {.ids = true, .logprobs = true, .cold = true, .reports_reuse = true};
  if (d.vocab > 0) about_.vocab = d.vocab;
  if (d.longest > 0) about_.context = d.longest;
  about_.notes.push_back(d.system);
}

std::vector<served::Reply> Asked::ask(std::span<const served::Question> questions) {
  std::vector<served::Reply> replies;
  for (const served::Question& question : questions) {
    replies.push_back(answer(question));
    requests_++;
  }
  return replies;
}

served::Reply Asked::answer(const served::Question& q) {
  const double start = seconds();
  std::ptrdiff_t reused = 0;
  session::Rewind* rewind = session_ && q.past == served::Past::any ? session_->rewind() : nullptr;
  if (rewind != nullptr) {
    reused = std::min(std::ranges::mismatch(q.ids, kept_).in1 - q.ids.begin(), std::ssize(q.ids) - 1);
  }
  if (reused > 0) {
    rewind->truncate(reused);
  } else {
    session_ = subject_.fresh();
  }
  served::Reply reply{.reused = reused, .prompt_tokens = std::ssize(q.ids)};
  session::Logits logits = session_->feed_last(std::span(q.ids).subspan(static_cast<std::size_t>(reused)));
  kept_ = q.ids;
  reply.candidates = likeliest(logits.row(logits.rows() - 1), options_.candidates);
  for (int i = 0; i < q.new_tokens; ++i) {
    const std::int32_t next = likeliest(logits.row(logits.rows() - 1), 1).front().id.value();
    reply.ids.push_back(next);
    if (i + 1 == q.new_tokens) break;
    logits = session_->feed_last({&next, 1});
    kept_.push_back(next);
  }
  reply.seconds = seconds() - start;
  if (options_.decode) reply.text = options_.decode(reply.ids);
  return reply;
}

}  // namespace pkv::subjects
