// Feeding a system whose answers are not taken on trust. Error::load, naming the system, when an answer has another
// shape than was asked for, or shows less than the caller needs; what the system itself throws goes through.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checker/session/session.h"

namespace pkv::session {

// All logits of all positions of a call: [ids, vocab]; a `vocab` of 0 takes any.
Logits feed(Session& session, std::span<const std::int32_t> ids, std::int64_t vocab, const std::string& system);

// The same of several sessions, in as few calls as the subject can.
std::vector<Logits> feed(Subject& subject, std::span<const Feed> feeds, std::int64_t vocab, const std::string& system);

// The one row of logits of the last token fed, dense or top-k.
Logits feed_last(Session& session, std::span<const std::int32_t> ids, const std::string& system);

// The states of one call; also refused when they have another width or other heads than those of an earlier call,
// `like`, where there was one.
States feed_and_look(Look& look, std::span<const std::int32_t> ids, const std::string& system, const States& like = {});

}  // namespace pkv::session
