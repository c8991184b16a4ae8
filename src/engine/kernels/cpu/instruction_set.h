// Which of the processor's instruction sets the cpu table, and the peak that it is measured against, compute with: the
// best that this machine has, unless the environment variable PKV_ISA or a caller chooses another. Sets go by Highway's
// names: "SSE4", "AVX2", "AVX3" (AVX-512). Each gives logits of its own in the last digits; the row law holds in all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pkv::kernels::cpu {

// Those that this machine has and the table is compiled for, the best first.
const std::vector<std::string>& instruction_sets();

// The one in use. Error::usage when PKV_ISA names one that is not in instruction_sets().
std::string instruction_set();

// From here on `name` is in use, also by devices that are open: no operation may be running. Empty: what PKV_ISA says,
// or the best. Error::usage at `where` ("--isa") when it is not in instruction_sets().
void choose_instruction_set(std::string_view name, std::string_view where);

}  // namespace pkv::kernels::cpu
