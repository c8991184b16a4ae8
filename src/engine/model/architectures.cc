#include "engine/model/architectures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "engine/model/arch/arch.h"
#include "engine/model/arch/decoder.h"

namespace pkv::model {

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all = [] {
    std::vector<Architecture> list{
        {.family = "GPT-2", .model_types = {"gpt2"}, .load = arch::load_gpt2, .conv1d = true},
        {.family = "RoBERTa",
         .model_types = {"roberta", "camembert", "xlm-roberta"},
         .load = arch::load_roberta,
         .encoder = true},
        {.family = "MPT", .model_types = {"mpt"}, .load = arch::load_mpt},
        {.family = "Falcon", .model_types = {"falcon", "RefinedWeb", "RefinedWebModel"}, .load = arch::load_falcon},
    };
    for (const arch::Row& row : arch::rows()) {
      list.push_back({.family = row.family, .model_types = {row.model_type}, .load = arch::load_decoder});
    }
    return list;
  }();
  return all;
}

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture& a : architectures()) {
    if (std::ranges::find(a.model_types, model_type) != a.model_types.end()) return &a;
  }
  return nullptr;
}

const Architecture& architecture_of(const hf::Config& whole) {
  const hf::Config& config = text_config(whole);
  const std::string type = config.text({"model_type"});
  if (const Architecture* a = find_architecture(type)) return *a;
  std::vector<std::string_view> known;
  for (const Architecture& a : architectures()) known.insert(known.end(), a.model_types.begin(), a.model_types.end());
  const std::string meant = did_you_mean(type, known);
  fail_load({.what = "unknown model_type",
             .where = fmt::format("{}: {}model_type", config.file(), &config == &whole ? "" : "text_config."),
             .expected = fmt::format("one of {}", fmt::join(known, ", ")),
             .found = type,
             .hint = fmt::format("{}{}record its runs in Python with tools/record_transformers.py and judge them with "
                                 "pkv check --recorded (docs/recorded.md)",
                                 meant, meant.empty() ? "" : " Else ")});
}

}  // namespace pkv::model
