// What was measured, as data: every sample, and what follows from the samples. The renderers in report.h are pure
// functions of it. Times are seconds; vectors of samples hold one for each repetition.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checker/measure/statistics.h"
#include "checker/session/session.h"

namespace pkv::measure {

using Samples = std::vector<double>;

// The time of one new token, by its number (0: the first): only those at `positions` were measured.
struct Curve {
  std::vector<std::int64_t> positions;
  std::vector<Samples> seconds;  // [positions]

  std::vector<double> medians() const;
};

// Greedy generation of `new_tokens` after `depth + prompt` tokens, of which the first `depth` are in the past already.
struct Generation {
  std::int64_t depth = 0, prompt = 0, new_tokens = 0;
  Curve with_past, without_past;
  Samples with_total, without_total;  // of all new tokens; without past a sum over `without_past`, see sampled()
  Samples read_share;                 // with past, of the tokens after the first: bytes to read / time / read rate
  Samples fma_share;                  // of the prompt, with past: multiply-adds / time / multiply-add rate
  double bytes_per_token = 0;         // with past, at the middle of the new tokens
  double flop_per_token = 0;          // likewise; a multiply-add counts as two
  std::uint64_t hash = 0;             // of the logits of all new tokens

  // Without past only some tokens were timed: the total is interpolated between them.
  bool sampled() const { return std::ssize(without_past.positions) < new_tokens; }
  Ratio faster() const { return ratio_of(spread_of(without_total), spread_of(with_total)); }
  // New tokens from which on the total is so many times shorter with the past.
  std::optional<std::int64_t> passes(double times) const;
};

// The time to the logits of one token after a prefix: computed as one text, or with the prefix's past from somewhere.
struct Reuse {
  enum Way : std::uint8_t { recomputed, memory, page_cache, disk, ways };

  std::int64_t prefix = 0;
  Samples seconds[ways];  // empty where it was not measured
  std::uint64_t saved_bytes = 0;
  double save_seconds = 0;
  std::uint64_t hash = 0;  // of the logits

  Ratio faster(Way way) const { return ratio_of(spread_of(seconds[recomputed]), spread_of(seconds[way])); }
};
std::string_view name_of(Reuse::Way way);  // "recomputed", "in memory", "page cache", "disk"

// The shortest measured prefix from which on that way is faster than recomputing; none where it is not at the longest.
std::optional<std::int64_t> worth_from(const std::vector<Reuse>& reuse, Reuse::Way way);

// Bytes per second that the disk gave: of the longest prefix, what it took longer than from the page cache. None where
// that was not measured, or no time was lost.
std::optional<double> disk_rate(const std::vector<Reuse>& reuse);

// Logits that were not those of the first run.
struct Disagreement {
  std::string variant;      // "without past"
  std::int64_t tokens = 0;  // of the text whose last logits they are
};

struct Result {
  session::Description subject;  // its past_format is always said
  double weight_bytes = 0;       // read by each call; this and the next two are 0 where costs are not known
  double layer_fmas = 0;         // multiply-adds of a token in the layers, without attention
  double output_fmas = 0;        // of a row of logits
  std::int64_t repetitions = 0, warmup = 0;
  std::vector<Generation> generation;
  std::vector<Reuse> reuse;
  Samples read_rate, fma_rate;  // of the machine, throughout the run: bytes and multiply-adds per second
  std::uint64_t peak_memory = 0;
  std::int64_t rows_compared = 0;  // of logits
  std::vector<Disagreement> disagreements;
  std::vector<std::string> notes;  // sentences: what was left out or sampled

  // Every variant gave the same logits, bit for bit: the times are those of the same answer.
  bool holds() const { return disagreements.empty(); }
};

// The one after most tokens; null where none was measured.
const Generation* longest_generation(const Result& result);

}  // namespace pkv::measure
