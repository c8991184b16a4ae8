// The faults of the bench: what was seen in other people's programs, each as a switch of the small decoder.
#pragma once

#include <string>
#include <vector>

#include "foreign/decoder.h"

namespace pkv::foreign {

struct Planted {
  std::string name;
  Fault fault;
  // What may be named with certainty; empty: nothing has a name for it, and only `unknown` is honest.
  std::vector<std::string> right = {};
  Shape shape = {};
  std::vector<std::string> formats = {"fp32", "bf16", "fp16"};
  enum class Rows { any, one, several } shows_in = Rows::any;  // calls after a past in which it shows
  bool needs_probes = false;                                   // a single use of a past does not show it
  bool healthy = false;                                        // nothing is wrong
};

std::vector<Planted> all_faults();

}  // namespace pkv::foreign
