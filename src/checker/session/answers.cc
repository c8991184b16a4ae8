#include "checker/session/answers.h"

#include <fmt/format.h>

#include "base/error.h"

namespace pkv::session {
namespace {

using Ids = std::span<const std::int32_t>;

[[noreturn]] void fail_shape(const char* what, const std::string& system, std::string expected, std::string found) {
  fail_load({.what = fmt::format("the system answered with {} of another shape", what),
             .where = system,
             .expected = std::move(expected),
             .found = std::move(found)});
}

// As many values as rows say, and of top-k an id of the vocabulary for each.
bool sound(const Logits& logits) {
  const std::int64_t seen = logits.seen(), values = std::ssize(logits.values);
  if (seen <= 0 || seen > logits.vocab || values % seen != 0) return false;
  if (std::ssize(logits.ids) != (logits.dense() ? 0 : values)) return false;
  for (const std::int32_t id : logits.ids) {
    if (id < 0 || id >= logits.vocab) return false;
  }
  return true;
}

std::string words(const Logits& logits) {
  if (logits.dense()) return fmt::format("{} values, vocabulary of {}", logits.values.size(), logits.vocab);
  return fmt::format("{} values and {} ids, the {} likeliest of a vocabulary of {}", logits.values.size(),
                     logits.ids.size(), logits.top, logits.vocab);
}

[[noreturn]] void fail_partly_seen(const Logits& logits, const std::string& system, std::int64_t tokens) {
  fail_load({.what = "the system shows a part of its logits only, and all of them are needed here",
             .where = system,
             .expected = fmt::format("[{}, {}]: every token's logit at every position", tokens, logits.vocab),
             .found = fmt::format("the {} likeliest tokens of {} at {} of {} positions", logits.top, logits.vocab,
                                  logits.rows(), tokens)});
}

void require_all(const Logits& logits, std::int64_t tokens, std::int64_t vocab, const std::string& system) {
  const std::int64_t width = vocab == 0 ? logits.vocab : vocab;
  if (sound(logits) && !logits.dense()) fail_partly_seen(logits, system, tokens);
  if (sound(logits) && logits.vocab == width && logits.rows() == tokens) return;
  fail_shape("logits", system, fmt::format("[{}, {}]", tokens, width), words(logits));
}

void require_states(const std::vector<std::vector<float>>& layers, std::int64_t tokens, std::int64_t width,
                    const std::string& system) {
  for (const std::vector<float>& layer : layers) {
    if (std::ssize(layer) == tokens * width) continue;
    fail_shape("states", system, fmt::format("[{}, {}] of each layer", tokens, width),
               fmt::format("{} values", layer.size()));
  }
}

}  // namespace

Logits feed(Session& session, Ids ids, std::int64_t vocab, const std::string& system) {
  Logits logits = session.feed(ids);
  require_all(logits, std::ssize(ids), vocab, system);
  return logits;
}

std::vector<Logits> feed(Subject& subject, std::span<const Feed> feeds, std::int64_t vocab, const std::string& system) {
  std::vector<Logits> all = subject.feed(feeds);
  if (all.size() != feeds.size()) {
    fail_shape("logits", system, fmt::format("those of {} sessions", feeds.size()), fmt::format("of {}", all.size()));
  }
  for (std::size_t i = 0; i < all.size(); ++i) require_all(all[i], std::ssize(feeds[i].ids), vocab, system);
  return all;
}

Logits feed_last(Session& session, Ids ids, const std::string& system) {
  Logits logits = session.feed_last(ids);
  if (!sound(logits) || logits.rows() != 1) fail_shape("logits", system, "one row", words(logits));
  return logits;
}

States feed_and_look(Look& look, Ids ids, const std::string& system, const States& like) {
  States states;
  look.feed_and_look(ids, states);
  const auto shape = [](const States& s) { return fmt::format("[{}], heads [{}, {}]", s.width, s.heads, s.head_dim); };
  if (like.width > 0 && states.width > 0 && shape(states) != shape(like))
    fail_shape("states", system, shape(like), shape(states));
  require_states(states.layers, std::ssize(ids), states.width, system);
  std::vector<std::vector<float>> attended = states.attended;
  std::erase_if(attended, [](const auto& layer) { return layer.empty(); });  // of layers that have no attention
  require_states(attended, std::ssize(ids), states.heads * states.head_dim, system);
  return states;
}

}  // namespace pkv::session
