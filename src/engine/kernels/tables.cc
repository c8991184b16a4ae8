#include <array>

#include "base/error.h"
#include "engine/kernels/cpu/cpu.h"
#include "engine/kernels/cuda_model/cuda_model.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/naive/naive.h"

namespace pkv::kernels {

std::span<const Ops* const> tables() {
  static const std::array all{&naive::ops(), &cpu::ops(), &cuda_model::ops()};
  return all;
}

const Ops& table(std::string_view name) {
  std::string names;
  for (const Ops* ops : tables()) {
    if (ops->name == name) return *ops;
    names += (names.empty() ? "" : ", ") + std::string(ops->name);
  }
  fail_usage({.what = "no such backend",
              .expected = "one of " + names,
              .found = std::string(name),
              .hint = "cpu, the fastest that runs everywhere"});
}

}  // namespace pkv::kernels
