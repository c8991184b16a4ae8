// By which rule a router's scores become experts and weights: what Route does, without its operands.
#pragma once

#include <cstdint>

namespace pkv::kernels {

// By their value and a bias the `chosen` largest are taken, of equal ones the lower index: where there is no bias and
// there are no groups, by the score itself.
struct Routing {
  enum class By : std::uint8_t {
    softmax,       // an expert's value is its part of the softmax of all scores; its weight: the value
    sigmoid,       // its value is the sigmoid of its own score; its weight: the value
    of_chosen,     // the value is the score; weights are the softmax of the chosen ones
    sparse_mixer,  // the same; a weight is the softmax over those not chosen before whose distance to the score s is at
                   // most `tolerance` times max(|their score|, s)
  };

  By by = By::softmax;
  bool normalised = false;  // softmax, sigmoid: weights over (max(their sum, least) + more)
  float least = 0, more = 0;
  float factor = 1;  // on weights, in the end
  float tolerance = 0;
  // Of `groups` of as many experts each, those with the `groups_kept` largest sums of their two largest values are
  // looked at.
  std::int64_t groups = 1, groups_kept = 1;
  bool high_ties = false;  // for faults made on purpose: of equal ones the higher index
};

}  // namespace pkv::kernels
