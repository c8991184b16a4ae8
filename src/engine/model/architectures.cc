#include "engine/model/architectures.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
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

namespace {

// How many letters have to be put in, taken out or changed to make one name of another.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

const Architecture& architecture_of(const hf::Config& whole) {
  const hf::Config& config = text_config(whole);
  const std::string type = config.text({"model_type"});
  if (const Architecture* a = find_architecture(type)) return *a;
  std::string known, nearest;
  std::size_t least = type.size() + 1;
  for (const Architecture& a : architectures()) {
    for (const std::string_view name : a.model_types) {
      known += (known.empty() ? "" : ", ") + std::string(name);
      if (const std::size_t d = distance(type, name); d < least) least = d, nearest = name;
    }
  }
  fail_load({.what = "unknown model_type",
             .where = fmt::format("{}: {}model_type", config.file(), &config == &whole ? "" : "text_config."),
             .expected = fmt::format("one of {}; the nearest is {}", known, nearest),
             .found = type,
             .hint = "record its runs in Python with tools/record_transformers.py and judge them with pkv check "
                     "--recorded (docs/recorded.md)"});
}

}  // namespace pkv::model
