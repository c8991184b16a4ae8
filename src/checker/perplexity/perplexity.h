// How well a system predicts a text: perplexity over windows of its context, with standard error, and against another
// system fed the same tokens. Neither the text nor its ids are kept: memory is a window's ids and a chunk's logits.
//
//   const perplexity::Result r = perplexity::run(subject, nullptr, next, {.context = 1024, .stride = 1024});
//
// Windows begin every `stride` tokens; a window's first token is not predicted, and of windows that overlap only the
// tokens that no earlier one predicted count. Every window is fed into a past of its own, since positions begin anew.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/progress.h"
#include "checker/perplexity/running.h"
#include "checker/session/session.h"

namespace pkv::perplexity {

struct Windows {
  std::int64_t context = 0, stride = 0, chunk = 512;  // tokens: of a window, between beginnings, fed in one call
};

// What the reference, fed the same, says of the same positions.
struct AgainstReference {
  session::Description reference;
  RunningMean nll;         // the reference's own
  RunningMean difference;  // of the tested system's nll from it, token by token
  RunningMean kl;          // D(reference || tested) of a position's two distributions, in nats
  LogHistogram kl_bins;
  std::int64_t same_top = 0;  // positions with the same most likely token
};

struct Result {
  session::Description subject;
  Windows windows;
  std::int64_t tokens = 0, window_count = 0;
  std::uint64_t bytes = 0;  // of the text; 0: not known
  RunningMean nll;          // negative log-likelihood of each predicted token, in nats
  std::optional<AgainstReference> against;

  std::int64_t predicted() const { return nll.count(); }
  double bits_per_byte() const;  // of the text, tokens that were not predicted taken to cost the mean
};

// exp of the mean, and its standard error to first order (the delta method): exp(mean) * error of the mean.
double perplexity_of(const RunningMean& nll);
double perplexity_error(const RunningMean& nll);

// Appends the text's next ids; false when there are no more.
using NextIds = std::function<bool(std::vector<std::int32_t>& ids)>;

// Calls `progress` with (tokens done, tokens read so far). Error::usage when the windows make no sense or there is
// nothing to predict, Error::load when a token's probability is no number above 0.
Result run(session::Subject& tested, session::Subject* reference, const NextIds& next, const Windows& windows,
           WorkerPool& pool, const Progress& progress = {});

}  // namespace pkv::perplexity
