// What tells one arithmetic from another: pasts computed by one are refused by the other. Each operation is probed by
// itself, so that a past depends on those alone that its model uses, and a new operation changes nothing for the
// others.
//
// Other bits are proof of another arithmetic (another instruction set, another library of mathematical functions, a
// change that the version has missed); the same bits are no proof that all is the same. Takes about a millisecond.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels {

// Raise it with a change that gives some table other bits than before and that no probe sees.
inline constexpr int kNumericsVersion = 1;

// The operations that a call's bits come from: {"linear fp16", "act gelu"}. Each has a probe of that name.
std::vector<std::string> names_of(const Norm& call);
std::vector<std::string> names_of(const Linear& call);
std::vector<std::string> names_of(const Angles& call);
std::vector<std::string> names_of(const Rotate& call);
std::vector<std::string> names_of(const Attend& call);
std::vector<std::string> names_of(const Convolve& call);
std::vector<std::string> names_of(const Recur& call);
std::vector<std::string> names_of(const Gate& call);
std::vector<std::string> names_of(const Scale& call);
std::vector<std::string> names_of(const Add& call);
std::vector<std::string> names_of(const Route& call);
std::vector<std::string> names_of(const ExpertLinear& call);
std::vector<std::string> names_of(const Mix& call);

// What an operation of the table makes of fixed inputs.
struct ProbedOperation {
  std::string name;            // "attend bf16"
  std::vector<float> results;  // finite

  std::uint64_t hash() const;
};

struct Numerics {
  std::vector<ProbedOperation> operations;  // in the order of the list of probes
  std::size_t first = 0;                    // how many of them there were when pasts were first saved

  // Hash of the results of the first ones, one after the other: what files say that were saved before operations were
  // told apart. Operations that were added since are not in it.
  std::uint64_t hash_of_first() const;
};

Numerics probe_numerics(const Backend& backend);

}  // namespace pkv::kernels
