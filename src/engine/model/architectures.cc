#include "engine/model/architectures.h"

#include "base/error.h"
#include "engine/model/arch/arch.h"

namespace pkv::model {

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all{
      {"GPT-2", {"gpt2"}, arch::load_gpt2},
      {"RoBERTa", {"roberta"}, arch::load_roberta},
      {"MPT", {"mpt"}, arch::load_mpt},
      {"Falcon", {"falcon", "RefinedWeb", "RefinedWebModel"}, arch::load_falcon},
  };
  return all;
}

const Architecture& architecture_of(const hf::Config& config) {
  const std::string type = config.text({"model_type"});
  std::string known;
  for (const Architecture& a : architectures()) {
    for (const std::string_view name : a.model_types) {
      if (name == type) return a;
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
  }
  fail_load({.what = "unknown model_type",
             .where = config.file() + ": key 'model_type'",
             .expected = "one of " + known,
             .found = type,
             .hint = "docs/adding-an-architecture.md shows how a page is added"});
}

}  // namespace pkv::model
