// Everything that a check found, as data. How it is told stands in checker/check/document.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checker/causes/explanation.h"
#include "checker/check/verdict.h"
#include "checker/run/inside.h"
#include "checker/run/runs.h"
#include "show/environment.h"

namespace pkv::check {

// How many times faster the system generates with its past, where somebody measured it.
struct Gain {
  double times = 0;
  std::optional<double> error;
  std::int64_t new_tokens = 0;
};

// "12.3 ×", at most 6 columns below 10,000; empty where there is none.
std::string gain_cell(const std::optional<Gain>& gain);

// What the stages of a check returned, and what whoever checks may add.
struct Report : Runs, Inside, Causes {
  Verdict verdict;
  std::optional<Gain> gain = {};
  show::Environment environment = {};
  std::string command = {};  // that repeats it
};

}  // namespace pkv::check
