// Source: where a model comes from: its config, tensors and tokenizer under the names that transformers gives them. A
// Hugging Face folder is one (folder.h); a file of another format is one when it says the same under the same names.
// Tensors are Views into mapped files; they live as long as the Source.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/containers/tensor_file.h"
#include "files/hf/config.h"

namespace pkv::hf {

// A text that a tokenizer is made of: a file's, or what another format has in its place.
struct TokenizerPart {
  std::string_view name;  // "tokenizer.json"
  std::string_view text;
  std::shared_ptr<const void> keeper;  // keeps `text` alive
};

class Source {
 public:
  virtual ~Source() = default;

  virtual const std::filesystem::path& path() const = 0;  // of the folder or file; named in errors
  virtual std::string name() const = 0;                   // what reports call the model
  virtual const Config& config() const = 0;
  virtual const Config* generation_config() const = 0;  // null when there is none

  virtual std::span<const containers::Tensor> tensors() const = 0;         // sorted by name
  virtual std::span<const containers::Unreadable> unreadable() const = 0;  // likewise
  // Null when absent; load error when its dtype cannot be read. A tensor that the files also know by another name is
  // found by both.
  virtual const containers::Tensor* find(std::string_view name) const = 0;
  // Entries beside the tensors that are none, sorted by name: whoever knows what they mean uses or refuses them.
  virtual std::span<const containers::Other> others() const { return {}; }

  // All that ids depend on, each under its name and in an order that is always the same; empty: there is no tokenizer.
  virtual std::vector<TokenizerPart> tokenizer() const = 0;

  // What a reader of a report should know: files that are present and not used, tensors that the index leaves out.
  virtual std::span<const std::string> notes() const = 0;
};

}  // namespace pkv::hf
