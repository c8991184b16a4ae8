#include <vector>

#include "base/error.h"
#include "engine/kernels/cpu/cpu.h"
#include "engine/kernels/cuda/cuda.h"
#include "engine/kernels/cuda_model/cuda_model.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/naive/naive.h"

namespace pkv::kernels {

std::span<const Ops* const> tables() {
  static const std::vector<const Ops*> all = [] {
    std::vector<const Ops*> listed{&naive::ops(), &cpu::ops(), &cuda_model::ops()};
    if (const Ops* gpu = cuda::ops()) listed.push_back(gpu);
    return listed;
  }();
  return all;
}

const Ops& table(std::string_view name) {
  std::string names;
  for (const Ops* ops : tables()) {
    if (ops->name == name) return *ops;
    names += (names.empty() ? "" : ", ") + std::string(ops->name);
  }
  if (name == "cuda") {
    fail_load({.what = "the backend cuda cannot run here",
               .found = cuda::absent(),
               .hint = "cpu, the fastest that runs everywhere"});
  }
  fail_usage({.what = "no such backend",
              .expected = "one of " + names,
              .found = std::string(name),
              .hint = "cpu, the fastest that runs everywhere"});
}

}  // namespace pkv::kernels
