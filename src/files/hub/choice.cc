#include "files/hub/choice.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "files/gguf/gguf.h"
#include "files/hf/tokenizer_files.h"

namespace pkv::hub {
namespace {

constexpr std::array<std::string_view, 2> kConfig{"config.json", "generation_config.json"};
// In the order in which they are preferred.
constexpr std::array<std::string_view, 4> kWeights{"model.safetensors", "model.safetensors.index.json",
                                                   "pytorch_model.bin", "pytorch_model.bin.index.json"};

bool is_letter_or_digit(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Whether `name` holds `tag`, in any case, with - or . behind it; `apart`: and no letter or digit before it, so that
// F16 is not found in BF16.
bool holds_tag(std::string_view name, std::string_view tag, bool apart) {
  const auto same = [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b));
  };
  for (std::size_t at = 0; at + tag.size() < name.size(); ++at) {
    const char behind = name[at + tag.size()];
    const bool ends = behind == '-' || behind == '.', begins = !apart || at == 0 || !is_letter_or_digit(name[at - 1]);
    if (ends && begins && std::ranges::equal(name.substr(at, tag.size()), tag, same)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> choose_gguf(std::span<const std::string> names, std::string_view wanted) {
  if (wanted.ends_with(".gguf")) return gguf::parts_among(names, std::string(wanted));
  const std::vector<std::string> models = gguf::models_among(names);
  const auto find = [&](std::string_view tag, bool apart) {
    return std::ranges::find_if(models, [&](const std::string& name) { return holds_tag(name, tag, apart); });
  };
  auto found = models.end();
  for (const std::string_view tag : {"Q4_K_M", "Q8_0"}) {
    if (found == models.end()) found = find(wanted.empty() ? tag : wanted, true);
  }
  if (found == models.end()) found = wanted.empty() ? models.begin() : find(wanted, false);
  return found == models.end() ? std::vector<std::string>() : gguf::parts_among(names, *found);
}

bool is_of_gguf(std::span<const std::string> names) {
  const auto ends = [&](std::string_view end) {
    return std::ranges::any_of(names, [&](const std::string& name) { return name.ends_with(end); });
  };
  return !ends(".safetensors") && choose(names).weights.empty() && !gguf::models_among(names).empty();
}

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
