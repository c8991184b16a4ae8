// What the answers of a server come to, and what can be told from outside of why they differ.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "checker/served/report.h"

namespace pkv::served {

// Verdict and causes of a report that holds everything else. The rules, in order:
//   not deterministic  two answers computed anew differ
//   differs            an answer with something reused differs from the one computed anew, or one among others from one
//                      alone
//   test is empty      nothing was reused, or the server says neither what it wrote nor how likely it was
//   identical          every digit that was printed
//   equal to the printed digits
void settle(Report& report);

// "2 to 33, 64 and 100": tested lengths, those that follow each other in `all` as one.
std::string lengths_text(std::span<const std::int64_t> some, std::span<const std::int64_t> all);

}  // namespace pkv::served
