// Which files of a repository a model needs: config, tokenizer, and weights in safetensors; PyTorch's only where there
// are no others. Nothing else: no code, no other framework's weights. Or one GGUF file, with all its parts. Works on
// names alone.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::hub {

// What to look for, apart from the parts that an index names.
struct Choice {
  std::vector<std::string> files;   // of those that the repository has
  std::vector<std::string> absent;  // looked for in vain, though other models have them
  std::string weights;              // one of `files`: the weights or their index; empty when there are none
  bool has_tokenizer = false;

  bool indexed() const { return weights.ends_with(".index.json"); }
};
// `named`: the weights that config.json names in place of the usual ones (hf::weights_named of files/hf/folder.h).
Choice choose(std::span<const std::string> names, std::string_view named = {});

// The GGUF file that `wanted` means (hub::Id::gguf), with its other parts, in their order; empty: there is none. Of a
// quantisation the first file whose name has it between other words, in any case, as llama.cpp's -hf finds it; where
// nothing is wanted Q4_K_M, else Q8_0, else the first.
std::vector<std::string> choose_gguf(std::span<const std::string> names, std::string_view wanted);
// Whether a repository has weights in GGUF files alone.
bool is_of_gguf(std::span<const std::string> names);

// The names that match one of the patterns, as huggingface_hub matches: * stands for any text, also with a /, ? for one
// character, [abc] for one of them, and a / at the end for everything in that folder.
std::vector<std::string> matching(std::span<const std::string> names, std::span<const std::string> patterns);

}  // namespace pkv::hub
