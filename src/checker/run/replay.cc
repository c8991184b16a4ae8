#include "checker/run/replay.h"

#include <algorithm>

#include "base/random.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

void skip(Session& session, Ids ids, const Fed& fed) {
  if (ids.empty()) return;
  session.skip(ids);
  if (fed) fed(std::ssize(ids));
}

bool uses_other(Method method) { return method == Method::fork_other || method == Method::rewind_other; }

}  // namespace

std::vector<std::int32_t> another_text(Ids ids, std::int64_t vocab) {
  const std::int64_t largest = *std::max_element(ids.begin(), ids.end());
  const std::int64_t choices = std::clamp<std::int64_t>(largest, 1, std::max<std::int64_t>(vocab - 1, 1));
  std::vector<std::int32_t> other;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto drawn = static_cast<std::int64_t>(random_bits(1, i) % static_cast<std::uint64_t>(choices));
    other.push_back(static_cast<std::int32_t>(drawn < ids[i] ? drawn : drawn + 1));
  }
  return other;
}

std::unique_ptr<Session> after_past(Subject& subject, Ids ids, Ids other, std::int64_t past, Method method,
                                    const Fed& fed) {
  const auto at = static_cast<std::size_t>(past);
  const Ids used = (uses_other(method) ? other : ids).subspan(at);
  auto session = subject.fresh();
  skip(*session, ids.first(at), fed);
  if (method == Method::fork_same || method == Method::fork_other) {
    if (session->fork() == nullptr) return nullptr;
    skip(*session->fork()->fork_session(), used, fed);
  }
  if (method == Method::rewind_same || method == Method::rewind_other) {
    if (session->rewind() == nullptr) return nullptr;
    skip(*session, used, fed);
    session->rewind()->truncate(past);
  }
  return session;
}

std::vector<std::int32_t> ever_fed(Ids ids, Ids other, std::int64_t past, Method method) {
  const auto at = static_cast<std::size_t>(past);
  std::vector<std::int32_t> all(ids.begin(), ids.begin() + past);
  if (method == Method::pieces) return all;
  const Ids used = (uses_other(method) ? other : ids).subspan(at);
  all.insert(all.end(), used.begin(), used.end());
  return all;
}

}  // namespace pkv::check
