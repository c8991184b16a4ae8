// How long work reports how far it is. The library calls it; what is shown, and whether, is the program's affair.
#pragma once

#include <cstdint>
#include <functional>

namespace pkv {

// Called with (done, total), done rising to total, from the thread that called the library. May be empty.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

}  // namespace pkv
