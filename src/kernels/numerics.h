// The version of the arithmetic of all tables of operations. Raise it with every change after which some table gives
// other bits than before: pasts that were saved before it are then refused.
#pragma once

namespace pkv::kernels {

inline constexpr int kNumericsVersion = 1;

}  // namespace pkv::kernels
