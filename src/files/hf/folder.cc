#include "files/hf/folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/containers/pytorch.h"
#include "files/containers/safetensors.h"
#include "files/hf/display_name.h"
#include "files/hf/index.h"
#include "files/hf/tokenizer_files.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSafeTensors = ".safetensors", kPyTorch = ".bin", kIndexEnd = ".index.json";

// Names of weight files, in the order of preference.
struct Weights {
  std::string_view single, extension;
  std::string index() const { return std::string(single) + std::string(kIndexEnd); }
};
constexpr std::array<Weights, 2> kWeights{{{"model.safetensors", kSafeTensors}, {"pytorch_model.bin", kPyTorch}}};

containers::TensorFile open_tensors(const fs::path& path, std::string_view extension) {
  return extension == kPyTorch ? containers::open_pytorch(path) : containers::SafeTensors::open(path);
}

void check_folder(const fs::path& path) {
  if (!is_present(path)) {
    fail_load({.what = "no such folder",
               .where = path.string(),
               .hint = "give a folder on this machine; `hf download NAME --local-dir FOLDER` gets one from the Hub"});
  }
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  fail_load({.what = "is a file, not a model folder",
             .where = path.string(),
             .hint = "give the folder that holds config.json and the weights"});
}

void check_config(const fs::path& folder) {
  if (is_present(folder / "config.json")) return;
  std::string hint = "give the folder that save_pretrained wrote";
  if (is_present(folder / "snapshots")) hint = "this is an entry of the Hub's cache: give a folder in its snapshots/";
  fail_load({.what = "config.json is missing", .where = folder.string(), .hint = hint});
}

// transformers would load the adapter's base model from elsewhere and apply the adapter; the weights here alone would
// be another model.
void refuse_adapter(const fs::path& folder) {
  if (!is_present(folder / "adapter_config.json")) return;
  fail_load({.what = "is an adapter (PEFT), not a model",
             .where = (folder / "adapter_config.json").string(),
             .hint = "merge it into its base model: merge_and_unload() and save_pretrained()"});
}

// Files that hold weights in another form or under another name, in the order of their names.
std::vector<std::string> other_weights(const fs::path& folder) {
  static constexpr std::array<std::string_view, 5> kExtensions{".bin", ".gguf", ".h5", ".msgpack", ".safetensors"};
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    const bool weights = std::ranges::count(kExtensions, at->path().extension().string()) != 0;
    if (weights && name != "training_args.bin") found.push_back(name);
  }
  std::ranges::sort(found);
  return found;
}

[[noreturn]] void fail_no_weights(const fs::path& folder) {
  constexpr std::size_t kShown = 5;
  const std::vector<std::string> others = other_weights(folder);
  const std::span shown = std::span(others).first(std::min(kShown, others.size()));
  const std::string convert = fmt::format(
      "convert it: python -c \"from transformers import AutoModelForCausalLM as M; "
      "M.from_pretrained('{0}').save_pretrained('{0}')\"",
      folder.string());
  fail_load({.what = "has no weights that pkv reads",
             .where = folder.string(),
             .expected = fmt::format("{} or {}, or an index of shards", kWeights[0].single, kWeights[1].single),
             .found = others.empty() ? "neither" : fmt::format("{}", fmt::join(shown, ", ")),
             .hint = others.empty() ? "download the model again, with its weights" : convert});
}

}  // namespace

std::string weights_named(const Config& config) {
  const auto named = config.text_or_none({"transformers_weights"});
  if (!named) return {};
  if (!is_plain_file_name(*named)) config.unsupported("transformers_weights", "a plain file name");
  if (named->ends_with(kSafeTensors) || named->ends_with(".safetensors.index.json")) return *named;
  config.unsupported("transformers_weights", "a name that ends in .safetensors or .safetensors.index.json");
}

Folder Folder::open(const fs::path& path) {
  check_folder(path);
  refuse_adapter(path);
  check_config(path);
  Folder folder;
  folder.path_ = path;
  folder.config_ = std::make_unique<Config>(Config::open(path / "config.json"));
  if (is_present(path / "generation_config.json")) {
    folder.generation_config_ = std::make_unique<Config>(Config::open(path / "generation_config.json"));
  }
  folder.open_weights();
  folder.sort_names();
  return folder;
}

void Folder::open_weights() {
  if (const std::string named = weights_named(*config_); !named.empty()) {
    if (named.ends_with(kIndexEnd)) return open_index(path_ / named, kSafeTensors);
    return add(containers::SafeTensors::open(path_ / named));
  }
  for (const Weights& weights : kWeights) {
    const fs::path single = path_ / weights.single, index = path_ / weights.index();
    if (is_present(single)) {
      if (is_present(index)) {
        notes_.push_back(fmt::format("{} is not used: {} is there too", weights.index(), weights.single));
      }
      return add(open_tensors(single, weights.extension));
    }
    if (is_present(index)) return open_index(index, weights.extension);
  }
  fail_no_weights(path_);
}

void Folder::open_index(const fs::path& path, std::string_view extension) {
  const Index index = parse_index(read_file(path, Index::kMaxFile), path.string(), extension);
  std::vector<containers::TensorFile> shards;
  for (const std::string& name : index.shards) {
    if (!is_present(path_ / name)) {
      fail_load({.what = "shard is missing",
                 .where = (path_ / name).string(),
                 .expected = fmt::format("the file, as {} names it", path.filename().string()),
                 .hint = "download the model again"});
    }
    shards.push_back(open_tensors(path_ / name, extension));
  }
  for (const Index::Entry& e : index.entries) {
    if (shards[e.shard].has(e.tensor)) continue;
    fail_load({.what = "tensor is missing",
               .where = fmt::format("{}: tensor {}", shards[e.shard].path().string(), quote(e.tensor)),
               .expected = fmt::format("in this shard, as {} says", path.filename().string())});
  }
  for (const containers::TensorFile& shard : shards) note_unnamed(index, shard, path.filename().string());
  for (const containers::TensorFile& shard : shards) add(shard);
}

// transformers loads whatever the shards hold, and so do we; but not in silence.
void Folder::note_unnamed(const Index& index, const containers::TensorFile& shard, std::string_view index_name) {
  std::vector<std::string_view> unnamed;
  const auto look = [&](const auto& tensor) {
    if (index.find(tensor.name) == nullptr) unnamed.push_back(tensor.name);
  };
  std::ranges::for_each(shard.tensors(), look);
  std::ranges::for_each(shard.unreadable(), look);
  if (unnamed.empty()) return;
  notes_.push_back(fmt::format("{} holds tensors that {} does not name ({}; the first is {})",
                               shard.path().filename().string(), index_name, unnamed.size(),
                               quote(std::ranges::min(unnamed))));
}

void Folder::add(const containers::TensorFile& file) {
  files_.push_back(file.path());
  std::ranges::copy(file.notes(), std::back_inserter(notes_));
  std::ranges::copy(file.tensors(), std::back_inserter(tensors_));
  std::ranges::copy(file.unreadable(), std::back_inserter(unreadable_));
}

void Folder::sort_names() {
  std::ranges::sort(tensors_, {}, &containers::Tensor::name);
  std::ranges::sort(unreadable_, {}, &containers::Unreadable::name);

  struct Place {
    std::string_view name;
    const MappedFile* file;
  };
  std::vector<Place> all;
  for (const containers::Tensor& t : tensors_) all.push_back({t.name, t.file.get()});
  for (const containers::Unreadable& t : unreadable_) all.push_back({t.name, t.file.get()});
  std::ranges::sort(all, {}, &Place::name);
  const auto twice = std::ranges::adjacent_find(all, {}, &Place::name);
  if (twice == all.end()) return;
  fail_load({.what = "tensor is in two shards",
             .where = fmt::format("{}: tensor {}", path_.string(), quote(twice->name)),
             .found = fmt::format("{} and {}", twice->file->path().filename().string(),
                                  std::next(twice)->file->path().filename().string())});
}

std::string Folder::name() const { return display_name(path_); }

std::vector<TokenizerPart> Folder::tokenizer() const {
  std::vector<TokenizerPart> parts;
  for (const std::string_view name : kTokenizerFiles) {
    std::error_code error;
    if (!fs::exists(path_ / name, error)) continue;
    const auto file = std::make_shared<const MappedFile>(path_ / name);
    parts.push_back({.name = name, .text = file->text(), .keeper = file});
  }
  return parts;
}

const containers::Tensor* Folder::find(std::string_view name) const {
  const auto tensor_name = [](const containers::Tensor& t) -> std::string_view { return t.name; };
  const auto at = std::ranges::lower_bound(tensors_, name, {}, tensor_name);
  if (at != tensors_.end() && at->name == name) return &*at;
  const auto other_name = [](const containers::Unreadable& t) -> std::string_view { return t.name; };
  const auto other = std::ranges::lower_bound(unreadable_, name, {}, other_name);
  if (other != unreadable_.end() && other->name == name) containers::fail_unreadable(*other);
  return nullptr;
}

}  // namespace pkv::hf
