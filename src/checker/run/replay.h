// The ways in which a plan uses a past, one at a time: a session brought to where the rest of a text can be fed. The
// other text that the checker feeds where it needs one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checker/compare/precision.h"
#include "checker/run/plan.h"
#include "checker/session/answers.h"

namespace pkv::check {

// Told how many tokens were fed. May be empty.
using Fed = std::function<void(std::int64_t tokens)>;

using session::feed;
using session::feed_and_look;

// A text of the same length that differs at every token. It is drawn from ids up to the largest of the text, so that
// all of them are surely in the vocabulary of `vocab`.
std::vector<std::int32_t> another_text(std::span<const std::int32_t> ids, std::int64_t vocab);

// A session whose past holds ids[.. past], used before as the method says, with ids[past ..] or other[past ..]. Null
// where the system cannot. What is fed next is what the method compares last.
std::unique_ptr<Session> after_past(Subject& subject, std::span<const std::int32_t> ids,
                                    std::span<const std::int32_t> other, std::int64_t past, Method method,
                                    const Fed& fed = {});

// All that was ever fed to that session, were nothing forgotten: ids[.. past], then what it was used with.
std::vector<std::int32_t> ever_fed(std::span<const std::int32_t> ids, std::span<const std::int32_t> other,
                                   std::int64_t past, Method method);

}  // namespace pkv::check
