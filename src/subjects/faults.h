// How other implementations read a past: what `--as NAME` means, for the engine to run with
// (engine/model/faults/fault.h). The names of single faults are those of the checker's causes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/session/session.h"
#include "engine/model/card.h"
#include "engine/model/faults/fault.h"
#include "engine/model/formats.h"
#include "engine/model/source.h"

namespace pkv::subjects {

struct Implementation {
  // What it does with pasts.
  enum class Keeps : std::uint8_t {
    right,
    nothing,           // each call is a text of its own
    unread,            // the same, but a past is kept
    first_of_length,   // a first call gets the past of the first one that was as long
    shared_in_forks,   // forks write into the same past
    what_was_rewound,  // rewinding changes the length and nothing else
    states_rewound,    // rewinding leaves states as they are
    one_for_all,       // all sessions write into the same past, which each begins anew
    mixed_in_calls,    // sessions that are fed in one call swap their pasts
  };

  std::string name;  // as given; empty: the engine as it is
  std::optional<model::Fault> fault{};
  Keeps keeps = Keeps::right;
  bool outliers_of_call = false;  // of int8 weights: columns with an outlier anywhere in the call
  float noise = 0;                // at most; added to each logit, other numbers each time
};

// Changes how a folder is loaded to how that implementation loads it; what becomes of the weights, as a sentence, or
// nothing.
std::string load_as(const std::string& name, const model::Source& source, model::LoadOptions& options);

// Error::usage when there is none of that name, which asks for no model; and when it has no meaning for the model.
void require_implementation(const std::string& name);
Implementation implementation(const std::string& name, const model::Card& card);

// What `--as` takes, for whoever lists it.
struct Choice {
  std::string name;           // "window=4", with the number that it has where none is given
  std::string_view sentence;  // without its full stop
};
std::vector<Choice> implementations();

// All of these suppositions as one fault; none where one of them is no fault of the engine's, has no meaning for the
// model, or contradicts another.
std::optional<model::Fault> fault_of(std::span<const session::Supposition> what, const model::Card& card);

}  // namespace pkv::subjects
