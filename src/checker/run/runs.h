// What all runs of a check showed, before anybody asks for causes: results of experiments, evidence, the bound that
// they are held against, and what pictures are drawn from. Runs of a living system and recorded runs give the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/compare/bound.h"
#include "checker/compare/compare.h"
#include "checker/compare/spread.h"
#include "checker/compare/statistics.h"
#include "checker/compare/wide.h"
#include "checker/run/evidence.h"
#include "checker/run/inside.h"
#include "checker/run/pictures.h"
#include "checker/session/session.h"

namespace pkv::check {

// What an experiment of the plan came to.
struct Result {
  std::string name;
  std::string sentence;
  std::int64_t runs = 0;
  Difference difference;
  std::string left_out;  // why it was not done: "the system cannot fork a past"; empty when it was
};

// The result whose positions had no past: the pieces fed first, against the same positions of the whole text.
inline constexpr std::string_view first_pieces = "first parts";
inline constexpr std::string_view recorded_run = "recorded run";  // nobody knows how it was fed

// A place where logits part after a past that was used more than once.
struct Reuse {
  Method method = Method::fork_same;
  Place place;
  bool swapped = false;  // of two texts that were fed together, one got what is the other's
};

// In a mixture of experts: from this token on the runs went through other experts, for no more than rounding.
struct RouterTie {
  std::int64_t token = 0, layer = 0;
  double apart = 0;  // the scores of the two experts
  double could = 0;  // how far rounding could move a score
};

struct Runs : Cells, Histograms {
  Description subject;
  std::string text;  // as fed; empty when unknown
  std::vector<std::int32_t> ids;
  std::int64_t vocab = 0;
  Table table;  // of the last position, as the histograms
  std::vector<Result> results;
  Difference total;
  Evidence evidence;
  Bound bound;
  WideRuns wide;                 // of recordings: the same runs in wider arithmetic
  Spread spread;                 // of recordings: how far logits move in the mean, where there are none
  std::optional<RouterTie> tie;  // of recordings: positions from its token on are not compared in their own format
  Causality causality;
  std::int64_t padding = 0;  // of recordings: tokens before the text in every call that has a past, hidden by a mask
  std::vector<std::string> notes;  // what was left out or assumed

  // Of living systems; of recordings, what happened after a past that was used again is not known so exactly.
  Difference in_pieces;                 // of all positions after a past that was used once
  std::optional<Reuse> reused;          // the first
  std::optional<WrongCall> wrong_call;  // to be looked into

  Tolerance tolerance() const { return {subject.promises_same_bits, bound.value}; }
};

const Difference& first_pieces_of(const Runs& runs);  // of no positions where that result is missing

}  // namespace pkv::check
