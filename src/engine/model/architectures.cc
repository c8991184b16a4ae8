#include "engine/model/architectures.h"

#include <algorithm>

#include "base/error.h"
#include "engine/model/arch/arch.h"

namespace pkv::model {

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all{
      {.family = "GPT-2", .model_types = {"gpt2"}, .load = arch::load_gpt2, .conv1d = true},
      {.family = "RoBERTa", .model_types = {"roberta"}, .load = arch::load_roberta, .encoder = true},
      {.family = "MPT", .model_types = {"mpt"}, .load = arch::load_mpt},
      {.family = "Falcon", .model_types = {"falcon", "RefinedWeb", "RefinedWebModel"}, .load = arch::load_falcon},
  };
  return all;
}

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture& a : architectures()) {
    if (std::ranges::find(a.model_types, model_type) != a.model_types.end()) return &a;
  }
  return nullptr;
}

const Architecture& architecture_of(const hf::Config& config) {
  const std::string type = config.text({"model_type"});
  if (const Architecture* a = find_architecture(type)) return *a;
  std::string known;
  for (const Architecture& a : architectures()) {
    for (const std::string_view name : a.model_types) {
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
  }
  fail_load({.what = "unknown model_type",
             .where = config.file() + ": model_type",
             .expected = "one of " + known,
             .found = type,
             .hint = "docs/adding-an-architecture.md shows how a page is added"});
}

}  // namespace pkv::model
