#include "engine/kernels/cpu/instruction_set.h"

// Before Highway: which instruction sets the cpu table is compiled for.
#include "engine/kernels/cpu/targets.h"
//
#include <hwy/targets.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/error.h"

namespace pkv::kernels::cpu {
namespace {

std::mutex mutex;
bool chosen = false;

// Highway's flags of those in instruction_sets(), in that order, asked before a choice narrows the answer.
const std::vector<std::int64_t>& targets() {
  static const std::vector<std::int64_t> all = hwy::SupportedAndGeneratedTargets();
  return all;
}

void use(std::string_view name, std::string_view where) {
  const auto& names = instruction_sets();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    fail_usage({.what = "this machine has no such instruction set",
                .where = std::string(where),
                .expected = names.front() + ", or a lesser one that it has",
                .found = std::string(name)});
  }
  hwy::SetSupportedTargetsForTest(targets()[static_cast<std::size_t>(found - names.begin())]);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  chosen = true;
}

void use_default() {
  const char* wanted = std::getenv("PKV_ISA");
  const bool said = wanted != nullptr && *wanted != '\0';
  use(said ? std::string_view(wanted) : std::string_view(instruction_sets().front()), "PKV_ISA");
}

}  // namespace

const std::vector<std::string>& instruction_sets() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const std::int64_t target : targets()) all.emplace_back(hwy::TargetName(target));
    return all;
  }();
  return names;
}

std::string instruction_set() {
  const std::lock_guard lock(mutex);
  if (!chosen) use_default();
  return hwy::TargetName(hwy::SupportedAndGeneratedTargets().front());
}

void choose_instruction_set(std::string_view name, std::string_view where) {
  const std::lock_guard lock(mutex);
  name.empty() ? use_default() : use(name, where);
}

}  // namespace pkv::kernels::cpu
