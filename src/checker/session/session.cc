#include "checker/session/session.h"

namespace pkv::session {

Logits Session::feed_last(std::span<const std::int32_t> ids) {
  Logits all = feed(ids);
  const std::int64_t before = (all.rows() - 1) * all.seen();
  if (before <= 0) return all;
  all.values.erase(all.values.begin(), all.values.begin() + before);
  if (!all.dense()) all.ids.erase(all.ids.begin(), all.ids.begin() + before);
  return all;
}

std::vector<Logits> Subject::feed(std::span<const Feed> feeds) {
  std::vector<Logits> all;
  all.reserve(feeds.size());
  for (const auto& [session, ids] : feeds) all.push_back(session.feed(ids));
  return all;
}

}  // namespace pkv::session
