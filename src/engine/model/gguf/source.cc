#include "engine/model/gguf/source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"
#include "engine/model/gguf/config.h"
#include "engine/model/gguf/families.h"
#include "engine/model/gguf/tensors.h"

namespace pkv::model {
namespace {

const GgufFamily& family_of(const gguf::Model& model) {
  const gguf::Metadata& m = model.metadata();
  const std::string file = model.path().string();
  const std::string_view kind = m.text("general.type").value_or("model");
  if (kind != "model") {
    fail_load({.what = "is a GGUF file of another kind than a language model",
               .where = file + ": general.type",
               .expected = "model",
               .found = quote(kind),
               .hint = kind == "adapter" ? "the model that the adapter was merged into" : "the model's own file"});
  }
  const auto architecture = m.text("general.architecture");
  if (!architecture) m.fail_missing("general.architecture", "a file of weights made by llama.cpp's converters has it");
  const std::span<const GgufFamily> families = gguf_families();
  const auto at = std::ranges::find(families, *architecture, &GgufFamily::architecture);
  if (at != families.end()) return *at;
  std::vector<std::string_view> known;
  for (const GgufFamily& family : families) known.push_back(family.architecture);
  fail_load({.what = std::string(kUnknownArchitecture),
             .where = file + ": general.architecture",
             .expected = fmt::format("one of {}", fmt::join(known, ", ")),
             .found = std::string(*architecture),
             .hint = did_you_mean(*architecture, known)});
}

// Keys that say where the file comes from, or are for those who tokenise and generate.
void accept_other_keys(const gguf::Metadata& m) {
  for (const gguf::Pair& pair : m.pairs()) {
    for (const std::string_view begin :
         {"general.", "tokenizer.", "quantize.", "split.", "mradermacher.", "imatrix."}) {
      if (pair.key.starts_with(begin)) m.without_effect(pair.key);
    }
  }
}

}  // namespace

GgufSource GgufSource::open(const std::filesystem::path& path) {
  GgufSource source(gguf::Model::open(path));
  const GgufFamily& family = family_of(source.model_);
  const std::string file = source.model_.path().string();
  const Json config = gguf_config(family, source.model_, source.notes_);
  GgufTensors tensors = gguf_tensors(family, source.model_, config);
  source.tensors_ = std::move(tensors.readable);
  source.arrangements_ = std::move(tensors.arrangements);
  source.unreadable_ = std::move(tensors.unreadable);
  source.config_ = std::make_unique<hf::Config>(config, file);
  if (Json generation = gguf_generation_config(source.model_); generation.is_object()) {
    source.generation_config_ = std::make_unique<hf::Config>(std::move(generation), file);
  }
  const gguf::Metadata& m = source.model_.metadata();
  accept_other_keys(m);
  for (const std::string& key : m.unread()) {
    source.notes_.push_back(fmt::format("{}: unknown key ignored: {}", path.filename().string(), key));
  }
  return source;
}

std::string GgufSource::name() const { return path().stem().string(); }

const containers::Tensor* GgufSource::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(tensors_, name, {}, &containers::Tensor::name);
  if (at != tensors_.end() && at->name == name) return &*at;
  const auto other = std::ranges::lower_bound(unreadable_, name, {}, &containers::Unreadable::name);
  if (other != unreadable_.end() && other->name == name) containers::fail_unreadable(*other);
  return nullptr;
}

const Arrangement* GgufSource::arrangement_of(const containers::Tensor& tensor) const {
  return arrangements_[static_cast<std::size_t>(&tensor - tensors_.data())].get();
}

std::vector<hf::TokenizerPart> GgufSource::tokenizer() const {
  std::vector<hf::TokenizerPart> parts;
  for (const gguf::Pair& pair : model_.metadata().pairs()) {
    // A template makes texts; ids of a text are the same with any.
    if (!pair.key.starts_with("tokenizer.") || pair.key.starts_with("tokenizer.chat_template")) continue;
    const std::span<const std::byte> bytes = pair.value.bytes;
    parts.push_back({.name = pair.key,
                     .text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                     .keeper = model_.parts().front().file()});
  }
  std::ranges::sort(parts, {}, &hf::TokenizerPart::name);
  return parts;
}

}  // namespace pkv::model
