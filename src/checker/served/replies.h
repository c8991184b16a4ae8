// Two replies to one question against each other. A server shows the best candidates only, so what is not seen is bound
// from what is: a candidate that one reply leaves out is at most as likely there as the last that it lists.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checker/served/server.h"

namespace pkv::served {

struct Distance {
  bool same = true;      // the same candidates, and every digit that was printed
  double max_abs = 0;    // of log-probabilities, over candidates in both; for one that is in one reply only, at least
  bool top_same = true;  // the most likely token
  double kl = 0;         // nats, of what was seen; all the rest counts as one token
  double seen = 1;       // probability that the candidates of both replies cover, the smaller of the two
  std::int64_t common = 0, only_one = 0;  // candidates in both, and in one of them
  std::string worst = {};                 // the token that is furthest apart, printable
};

// Both have candidates.
Distance distance(const Reply& one, const Reply& other);

// The step of a server that prints few digits: 1e-4 where no log-probability has more than four decimals; 0 where they
// have more than six.
double printed_step(std::span<const Reply> replies);

}  // namespace pkv::served
