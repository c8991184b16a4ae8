// What tells one arithmetic from another: pasts computed by one are refused by the other.
#pragma once

#include <vector>

#include "engine/kernels/backend.h"

namespace pkv::kernels {

// Raise it with every change after which some table gives other bits than before.
inline constexpr int kNumericsVersion = 1;

// What the table's operations make of fixed inputs. Other bits are proof of another arithmetic (another instruction
// set, another library of mathematical functions, a change that the version has missed); the same bits are no proof
// that all is the same. Takes less than a millisecond.
std::vector<float> numerics_probe(const Backend& backend);

}  // namespace pkv::kernels
