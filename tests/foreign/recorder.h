// Records a foreign program as tools/record_transformers.py records a model: the same runs under the same names. See
// docs/recorded.md for what each of them is.
#pragma once

#include <vector>

#include "checker/recorded/recorded.h"
#include "foreign/decoder.h"

namespace pkv::foreign {

struct Recorded {
  check::Recording without, with;
};

// `pieces` add up to the text. Programs are called in the order in which the script calls models.
Recorded record(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces, bool probes);

// As long as the text, another token at every place.
Ids another(const Ids& text, int vocab);

}  // namespace pkv::foreign
