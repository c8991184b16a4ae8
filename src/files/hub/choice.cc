#include "files/hub/choice.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>

#include "files/hf/tokenizer_files.h"

namespace pkv::hub {
namespace {

constexpr std::array<std::string_view, 2> kConfig{"config.json", "generation_config.json"};
// In the order in which they are preferred.
constexpr std::array<std::string_view, 4> kWeights{"model.safetensors", "model.safetensors.index.json",
                                                   "pytorch_model.bin", "pytorch_model.bin.index.json"};

}  // namespace

Choice choose(std::span<const std::string> names, std::string_view named) {
  Choice choice;
  const auto has = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  const auto look_for = [&](std::string_view name) {
    (has(name) ? choice.files : choice.absent).emplace_back(name);
    return has(name);
  };
  for (const std::string_view name : kConfig) look_for(name);
  for (const std::string_view name : hf::kTokenizerFiles) look_for(name);
  std::span<const std::string_view> weights = kWeights;
  if (!named.empty()) weights = {&named, 1};
  for (const std::string_view name : weights) {
    if (!look_for(name)) continue;
    choice.weights = name;
    break;
  }
  choice.has_tokenizer =
      has("tokenizer.json") || (has("vocab.json") && has("merges.txt")) || has("tokenizer.model") || has("tekken.json");
  return choice;
}

std::vector<std::string> matching(std::span<const std::string> names, std::span<const std::string> patterns) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    const auto fits = [&](const std::string& pattern) {
      const std::string whole = pattern.ends_with('/') ? pattern + "*" : pattern;
      return ::fnmatch(whole.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
    };
    if (std::ranges::any_of(patterns, fits)) found.push_back(name);
  }
  return found;
}

}  // namespace pkv::hub
