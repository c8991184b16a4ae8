// What all stages of a check work with: a system, a text and what it gave without past, and what counts as parting.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "checker/compare/compare.h"
#include "checker/session/session.h"

namespace pkv::check {

// Told how many tokens were fed. May be empty.
using OnFed = std::function<void(std::int64_t tokens)>;

// The text of a check, another one of the same length that differs at every token, and the text's logits without past,
// [ids, vocab].
struct WholeText {
  std::span<const std::int32_t> ids, other;
  const Logits& logits;
};

struct Setting {
  Subject& subject;
  WholeText text;
  Description description;  // of the subject
  Tolerance tolerance;
  OnFed on_fed = {};

  void fed(std::int64_t tokens) const {
    if (on_fed) on_fed(tokens);
  }
};

}  // namespace pkv::check
