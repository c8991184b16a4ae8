// The experts of a row of decoder.h: what a config says of them, and their tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/arch/decoder.h"

namespace pkv::model::arch {

struct MixturePlan {
  std::int64_t experts = 0, inner = 0;  // of each layer that has some; 0 experts: no layer has
  std::int64_t shared = 0;              // width of the shared expert; 0: none
  std::vector<std::int64_t> chosen;     // by layer; 0: an MLP
  kernels::Routing routing{};
  kernels::Act act = kernels::Act::silu;
  float limit = 0;

  std::string describe() const;  // "8 of 128 experts in 47 of 48 layers"
};

// Error::load for values that no such layer can have.
MixturePlan read_plan(const hf::Config& c, const Row& row, const Card& card, kernels::Act act);

// The experts of layer i, whose tensors' names begin with `at`.
Mixture read_mixture(Reader& in, const Row& row, const Card& card, const MixturePlan& plan, std::int64_t i,
                     const std::string& at, bool shared_bias);

}  // namespace pkv::model::arch
