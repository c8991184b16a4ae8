// A GGUF file as a Source: what its metadata and tensors say, under the names and in the order that the model's own
// folder would have them, so that the same page reads both. Weights stay where they lie in the mapped file; where a
// converter has moved rows, a tensor says how to move them back (containers::Arrangement).
//
// Of a model in several files any part's name will do. A file says less than a folder: what the converter leaves out
// (a window of Mistral's, the base of Falcon's angles) is not here either.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/arrangement.h"
#include "engine/model/source.h"
#include "files/gguf/gguf.h"

namespace pkv::model {

// What the error for an architecture that nobody here knows says, for who has a way round it.
inline constexpr std::string_view kUnknownArchitecture = "unknown architecture";

class GgufSource final : public Source, public Arranged {
 public:
  // Error::load, naming file and key or tensor, for a file that is damaged, of an architecture that pkv does not run,
  // or none of a language model.
  static GgufSource open(const std::filesystem::path& path);

  const std::filesystem::path& path() const override { return model_.path(); }
  std::string name() const override;
  const hf::Config& config() const override { return *config_; }
  const hf::Config* generation_config() const override { return generation_config_.get(); }

  std::span<const containers::Tensor> tensors() const override { return tensors_; }
  std::span<const containers::Unreadable> unreadable() const override { return unreadable_; }
  const containers::Tensor* find(std::string_view name) const override;
  std::vector<hf::TokenizerPart> tokenizer() const override;
  std::span<const std::string> notes() const override { return notes_; }

  const Arrangement* arrangement_of(const containers::Tensor& tensor) const override;

  const gguf::Model& model() const { return model_; }

 private:
  explicit GgufSource(gguf::Model model) : model_(std::move(model)) {}

  gguf::Model model_;
  std::unique_ptr<hf::Config> config_, generation_config_;
  std::vector<containers::Tensor> tensors_;
  std::vector<std::shared_ptr<const Arrangement>> arrangements_;  // of tensors_
  std::vector<containers::Unreadable> unreadable_;
  std::vector<std::string> notes_;
};

}  // namespace pkv::model
