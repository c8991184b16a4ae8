#include "checker/run/replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

void skip(Session& session, Ids ids, const Fed& fed) {
  if (ids.empty()) return;
  session.skip(ids);
  if (fed) fed(std::ssize(ids));
}

[[noreturn]] void fail_shape(const char* what, const std::string& system, std::string expected, std::string found) {
  fail_load({.what = fmt::format("the system answered with {} of another shape", what),
             .where = system,
             .expected = std::move(expected),
             .found = std::move(found)});
}

void require_states(const std::vector<std::vector<float>>& layers, std::int64_t tokens, std::int64_t width,
                    const std::string& system) {
  for (const std::vector<float>& layer : layers) {
    if (std::ssize(layer) == tokens * width) continue;
    fail_shape("states", system, fmt::format("[{}, {}] of each layer", tokens, width),
               fmt::format("{} values", layer.size()));
  }
}

bool uses_other(Method method) { return method == Method::fork_other || method == Method::rewind_other; }

}  // namespace

Logits feed(Session& session, Ids ids, std::int64_t vocab, const std::string& system) {
  Logits rows = session.feed(ids);
  if (vocab == 0) vocab = rows.vocab;
  if (vocab <= 0 || rows.vocab != vocab || std::ssize(rows.values) != std::ssize(ids) * vocab) {
    fail_shape("logits", system, fmt::format("[{}, {}]", ids.size(), vocab),
               fmt::format("{} values, vocabulary of {}", rows.values.size(), rows.vocab));
  }
  return rows;
}

States feed_and_look(Look& look, Ids ids, const std::string& system, const States& like) {
  States states;
  look.feed_and_look(ids, states);
  const auto shape = [](const States& s) { return fmt::format("[{}], heads [{}, {}]", s.width, s.heads, s.head_dim); };
  if (like.width > 0 && states.width > 0 && shape(states) != shape(like))
    fail_shape("states", system, shape(like), shape(states));
  require_states(states.layers, std::ssize(ids), states.width, system);
  require_states(states.attended, std::ssize(ids), states.heads * states.head_dim, system);
  return states;
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
