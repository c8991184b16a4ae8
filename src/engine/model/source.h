// Where a model is loaded from: see files/hf/source.h.
#pragma once

#include "files/hf/source.h"

namespace pkv::model {

using hf::Source;

}  // namespace pkv::model
