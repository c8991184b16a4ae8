// Two runs of the same text that someone recorded, compared as run() compares a living system's, as far as recordings
// allow: what was not recorded is reported as not known. Files and their formats are the program's affair.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checker/check/report.h"
#include "checker/session/session.h"

namespace pkv::check {

// Positions of a text whose logits were recorded, rising; empty: all of them.
using Places = std::vector<std::int64_t>;

// Extra runs that let causes be told apart; docs/recorded.md lists them. Any of them may be missing. All but a few are
// of the call that feeds ids[past ..] after the others, of which the first `rows` tokens count: [rows, vocab].
struct Probes {
  std::int64_t past = 0;
  std::int64_t rows = 16;                               // at most
  std::map<std::string, Logits, std::less<>> runs;      // by name: "again", "changed.2", ...
  std::map<std::string, Logits, std::less<>> supposed;  // by cause, what it would have given: "window=4",
                                                        // "top-left-mask+position-restarted"
  std::map<std::string, States, std::less<>> states;    // of runs: "later.3"
  std::map<std::string, Places, std::less<>> at;        // of runs that hold some rows of the text: "later.3"
  std::vector<std::int64_t> twice_lengths;  // of a past handed over twice: what it said to hold after each use
  std::string wide_format;                  // of the runs "wide_without" and "wide_with"
  std::int64_t cropped_length = -1;  // of the past of "cropped": what it said to hold once it was cut; -1: unknown
  std::string supposed_for;  // the run that `supposed` is to be held against: "again", "cropped", "wide_with"; empty:
                             // "again" and what was recorded
  std::vector<std::string> tried;     // causes whose logits were had and are not among `supposed`: they fit less well
  std::vector<std::string> left_out;  // what was not recorded, and why
  States states_apart;                // layers of [rows, 2]: how far the new tokens' states are apart, and their size
  States heads_apart;                 // layers of [rows, 2 * heads]: the same of what each head gives; first distances
  std::int64_t one_and_two_at = -1;   // the first token of the run "one_and_two"; -1: it is missing
  std::string uses_format;            // of the runs of several pasts and batches; empty: that of the recorded runs
};

// Experts that were chosen in the run without past and in the one with it.
struct Routes {
  States apart;                      // layers of [tokens, 3]: how near the scores of two experts were of which each run
                                     // took another (-1: both took the same), how far scores moved, the largest score
  std::vector<std::int64_t> layers;  // of the model, in the order of `apart`
};

struct Recording {
  Description description;
  std::string text;               // empty: unknown
  std::vector<std::int32_t> ids;  // [tokens]
  Logits logits;                  // [tokens, vocab], or of the positions `at` alone
  Places at = {};
  std::string past_file = {};        // the saved past that the tokens were fed after; empty: there was none
  std::int64_t past_tokens = 0;      // how many it held
  std::int64_t padding = 0;          // tokens before the text where it was fed in pieces, which a mask hid
  std::vector<std::int64_t> pieces;  // tokens fed in each call, in order; empty: unknown
  // Tokens that the system said its past held after each call, as many as pieces; empty: it never said.
  std::vector<std::optional<std::int64_t>> past_lengths;
  States states = {};                 // layers of [tokens, width]; empty: not recorded
  std::optional<Probes> probes = {};  // of the run with past
  std::optional<Routes> routes = {};  // the same

  std::int64_t row_of(std::int64_t position) const;  // in `logits`; -1: that position was not recorded
  bool whole() const { return at.empty(); }          // all positions were
};

// The first is the run without a past, the second the one with it. Should only the first have been fed in pieces they
// are taken the other way round, with a note. Usage error when they are not of the same ids and vocabulary; load error
// when a recording contradicts itself.
Report compare_recordings(const Recording& without_past, const Recording& with_past);

}  // namespace pkv::check
