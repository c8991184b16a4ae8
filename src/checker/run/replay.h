// The ways in which a plan uses a past, one at a time: a session brought to where the rest of a text can be fed. The
// other text that the checker feeds where it needs one. And feeding a system whose answers are not taken on trust.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checker/compare/precision.h"
#include "checker/run/plan.h"

namespace pkv::check {

// Told how many tokens were fed. May be empty.
using Fed = std::function<void(std::int64_t tokens)>;

// The logits of one call: [ids, vocab]; a `vocab` of 0 takes any. Load error when the system answers with another
// shape.
Logits feed(Session& session, std::span<const std::int32_t> ids, std::int64_t vocab, const std::string& system);

// The states of one call; load error when they have another shape than [ids, width] of each layer and [ids, heads,
// head_dim], or another width or other heads than those of an earlier call, `like`, where there was one.
States feed_and_look(Look& look, std::span<const std::int32_t> ids, const std::string& system, const States& like = {});

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
