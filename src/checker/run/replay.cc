#include "checker/run/replay.h"

#include <algorithm>

#include "base/random.h"
#include "base/slices.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

void skip(const Setting& setting, Session& session, Ids ids) {
  if (ids.empty()) return;
  session.skip(ids);
  setting.fed(std::ssize(ids));
}

// A second session with the other text's past, alive while the first is fed.
void keep_company(const Setting& setting, Session& session, std::int64_t past, Method method) {
  const auto& [ids, other, logits] = setting.text;
  const auto second = setting.subject.fresh();
  if (method == Method::beside) {
    skip(setting, session, take(ids, past));
    skip(setting, *second, take(other, past));
    return;
  }
  const std::vector<session::Feed> both{{session, take(ids, past)}, {*second, take(other, past)}};
  feed(setting.subject, both, logits.vocab, setting.description.name);
  setting.fed(2 * past);
}

bool uses_other(Method method) { return method == Method::fork_other || method == Method::rewind_other; }

}  // namespace

Logits feed(const Setting& setting, Session& session, Ids ids) {
  Logits rows = feed(session, ids, setting.text.logits.vocab, setting.description.name);
  setting.fed(std::ssize(ids));
  return rows;
}

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

std::unique_ptr<Session> after_past(const Setting& setting, std::int64_t past, Method method) {
  const auto& [ids, other, logits] = setting.text;
  const Ids used = drop(uses_other(method) ? other : ids, past);
  auto session = setting.subject.fresh();
  if (has_company(method)) {
    keep_company(setting, *session, past, method);
    return session;
  }
  skip(setting, *session, take(ids, past));
  if (forks(method)) {
    if (session->fork() == nullptr) return nullptr;
    skip(setting, *session->fork()->fork_session(), used);
  } else if (rewinds(method)) {
    if (session->rewind() == nullptr) return nullptr;
    skip(setting, *session, used);
    session->rewind()->truncate(past);
  }
  return session;
}

std::vector<std::int32_t> ever_fed(Ids ids, Ids other, std::int64_t past, Method method) {
  std::vector<std::int32_t> all(ids.begin(), ids.begin() + past);
  if (method == Method::pieces || has_company(method)) return all;
  const Ids used = drop(uses_other(method) ? other : ids, past);
  all.insert(all.end(), used.begin(), used.end());
  return all;
}

}  // namespace pkv::check
