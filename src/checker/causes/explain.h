// How causes are told apart: wrong logits that were seen, against those that each cause would have led to. Who computes
// the latter is the caller's affair: an engine, or a recording that holds a few of them.
//
//   const Found found = find_causes({.observations = seen, .tolerance = t, .simulate = simulate});
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/compare/compare.h"
#include "checker/run/plan.h"
#include "checker/session/session.h"

namespace pkv::check {

// A call after a past: ids[past ..] got `faulty` and should have got `right`. Where the two are equal, the call went
// right, and a cause that would have made it wrong is refuted.
struct Observation {
  std::vector<std::int32_t> ids;  // those of the past first
  std::int64_t past = 0;
  Logits right, faulty;             // [new tokens, vocab]
  Method method = Method::pieces;   // how the past had been used before
  std::vector<std::int32_t> other;  // the other text that was fed in between, where the method has one; as long as ids
};

// Logits of the observation's new tokens, had all of that been so; none where that cannot be known. Causes whose kind
// is `fed` (causes.h) are asked for in the same way: then they are those of the text that the cause puts in its place.
using Simulate = std::function<std::optional<Logits>(const Observation&, std::span<const Supposition>)>;

struct Search {
  std::vector<Observation> observations;  // the cheapest first, those that went right last
  Tolerance tolerance;
  bool past_absent = false;  // the system says that it keeps none
  Simulate simulate;
};

struct Found {
  std::vector<Explanation> causes;  // confirmed ones in the list's order; where there are none, the best few
  std::int64_t tried = 0;           // causes, and pairs of them, whose logits could be had
};

Found find_causes(const Search& search);

}  // namespace pkv::check
