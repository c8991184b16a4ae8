// The ways in which a plan uses a past, one at a time: a session brought to where the rest of a text can be fed. The
// other text that the checker feeds where it needs one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checker/compare/precision.h"
#include "checker/run/plan.h"
#include "checker/run/setting.h"
#include "checker/session/answers.h"

namespace pkv::check {

using session::feed;
using session::feed_and_look;

// A text of the same length that differs at every token. It is drawn from ids up to the largest of the text, so that
// all of them are surely in the vocabulary of `vocab`.
std::vector<std::int32_t> another_text(std::span<const std::int32_t> ids, std::int64_t vocab);

// What is fed to the setting's system, counted.
Logits feed(const Setting& setting, Session& session, std::span<const std::int32_t> ids);

// A session whose past holds the first `past` tokens of the text, used before as the method says, with the rest of the
// text or of the other text. Null where the system cannot. What is fed next is what the method compares last.
std::unique_ptr<Session> after_past(const Setting& setting, std::int64_t past, Method method);

// All that was ever fed to such a session, were nothing forgotten: ids[.. past], then what it was used with.
std::vector<std::int32_t> ever_fed(std::span<const std::int32_t> ids, std::span<const std::int32_t> other,
                                   std::int64_t past, Method method);

}  // namespace pkv::check
