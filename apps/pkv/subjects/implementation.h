// How other implementations read a past: what `--as NAME` means, for the engine to run with (model/fault.h). The names
// of single faults are those of the checker's causes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "check/session.h"
#include "model/card.h"
#include "model/fault.h"

namespace pkv::program {

struct Implementation {
  std::string name;  // as given; empty: the engine as it is
  std::optional<model::Fault> fault{};
  bool keeps_no_past = false;     // each call is a text of its own
  bool reads_no_past = false;     // the same, but a past is kept
  bool outliers_of_call = false;  // int8
};

// Error::usage when there is none of that name, or when it has no meaning for the model.
Implementation implementation(const std::string& name, const model::Card& card);

// "NAME  sentence", a line each.
std::string list_implementations();

// All of it together; none where one of them is no fault of the engine's, has no meaning for the model, or contradicts
// another.
std::optional<model::Fault> fault_of(std::span<const check::Supposition> what, const model::Card& card);

}  // namespace pkv::program
