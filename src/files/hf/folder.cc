#include "files/hf/folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
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

bool same_values(const containers::Tensor& a, const containers::Tensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape || a.data.size() != b.data.size()) return false;
  return a.data.empty() || std::memcmp(a.data.data(), b.data.data(), a.data.size()) == 0;
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
  folder.note_companions();
  return folder;
}

void Folder::open_weights() {
  if (const std::string named = weights_named(*config_); !named.empty()) {
    if (named.ends_with(kIndexEnd)) return open_index(path_ / named, kSafeTensors);
    return add(open_tensors(path_ / named, kSafeTensors));
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
  note_index(index, shards, path.filename().string());
  for (const containers::TensorFile& shard : shards) add(shard);
}

// transformers loads whatever the shards hold, wherever the index says that it is, and so do we; but not in silence.
// Whether a tensor that is nowhere is missed, its page knows: a tied output layer is not.
void Folder::note_index(const Index& index, std::span<const containers::TensorFile> shards,
                        std::string_view index_name) {
  const auto note = [&](std::span<const std::string_view> names, std::string_view what) {
    if (names.empty()) return;
    notes_.push_back(fmt::format("{} ({}; the first is {})", what, names.size(), quote(std::ranges::min(names))));
  };
  std::vector<std::string_view> elsewhere, nowhere;
  for (const Index::Entry& e : index.entries) {
    if (shards[e.shard].has(e.tensor)) continue;
    const bool found = std::ranges::any_of(shards, [&](const auto& shard) { return shard.has(e.tensor); });
    (found ? elsewhere : nowhere).push_back(e.tensor);
  }
  note(elsewhere, fmt::format("{} names the wrong shard for tensors", index_name));
  note(nowhere, fmt::format("{} names tensors that no shard holds", index_name));
  for (const containers::TensorFile& shard : shards) {
    std::vector<std::string_view> unnamed;
    const auto look = [&](const auto& tensor) {
      if (index.find(tensor.name) == nullptr) unnamed.push_back(tensor.name);
    };
    std::ranges::for_each(shard.tensors(), look);
    std::ranges::for_each(shard.unreadable(), look);
    note(unnamed, fmt::format("{} holds tensors that {} does not name", shard.path().filename().string(), index_name));
  }
  const std::vector<std::string_view> unread(index.unread.begin(), index.unread.end());
  note(unread, fmt::format("{} has keys that nobody here knows", index_name));
}

containers::TensorFile Folder::open_tensors(const fs::path& path, std::string_view extension) {
  if (extension == kPyTorch) return containers::open_pytorch(path);
  containers::SafeTensors file = containers::SafeTensors::open(path);
  read_metadata(file);
  return file;
}

// safetensors' save_model keeps one of several tensors that are the same memory, and writes the names of the others
// into the metadata, each with that of the one kept.
void Folder::read_metadata(const containers::SafeTensors& file) {
  std::vector<std::string_view> unread;
  for (const auto& [key, value] : file.metadata()) {
    if (!file.has(key) && file.has(value)) {
      aliases_.emplace(key, value);
    } else if (key != "format" || (value != "pt" && value != "np")) {
      unread.push_back(key);
    }
  }
  if (unread.empty()) return;
  const std::string first(unread.front());
  notes_.push_back(fmt::format("{}: metadata that is not used ({}; the first is {}: {})",
                               file.path().filename().string(), unread.size(), quote(first, 40),
                               quote(file.metadata().at(first), 40)));
}

void Folder::add(const containers::TensorFile& file) {
  files_.push_back(file.path());
  std::ranges::copy(file.others(), std::back_inserter(others_));
  std::ranges::copy(file.notes(), std::back_inserter(notes_));
  std::ranges::copy(file.tensors(), std::back_inserter(tensors_));
  std::ranges::copy(file.unreadable(), std::back_inserter(unreadable_));
}

// A tensor may be in two shards if it is the same in both.
void Folder::sort_names() {
  std::ranges::stable_sort(tensors_, {}, &containers::Tensor::name);
  std::ranges::stable_sort(others_, {}, &containers::Other::name);
  const auto equal = [](const containers::Tensor& a, const containers::Tensor& b) {
    return a.name == b.name && same_values(a, b);
  };
  tensors_.erase(std::unique(tensors_.begin(), tensors_.end(), equal), tensors_.end());
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
  fail_load({.what = "tensor is in two shards, with other values",
             .where = fmt::format("{}: tensor {}", path_.string(), quote(twice->name)),
             .found = fmt::format("{} and {}", twice->file->path().filename().string(),
                                  std::next(twice)->file->path().filename().string())});
}

// Files beside the weights that speak of them and are not read.
void Folder::note_companions() {
  static constexpr std::array<std::array<std::string_view, 2>, 5> kCompanions{
      {{"adapter_model.safetensors", "an adapter's weights, which are not applied: there is no adapter_config.json"},
       {"adapter_model.bin", "an adapter's weights, which are not applied: there is no adapter_config.json"},
       {"quantize_config.json", "settings of GPTQ, which are not read: the tensors say what they are"},
       {"quant_config.json", "settings of AWQ, which are not read: the tensors say what they are"},
       {"hf_quant_config.json", "settings of ModelOpt, which are not read: the tensors say what they are"}}};
  for (const auto& [name, what] : kCompanions) {
    std::error_code error;
    if (fs::exists(path_ / name, error)) notes_.push_back(fmt::format("{} holds {}", name, what));
  }
  // Those that another program would take for the model's.
  static constexpr std::array<std::string_view, 5> kBegins{"consolidated", "flax_model", "model", "pytorch_model",
                                                           "tf_model"};
  std::vector<std::string> others = other_weights(path_);
  std::erase_if(others, [&](const std::string& name) {
    const bool of_model = name.ends_with(".gguf") ||
                          std::ranges::any_of(kBegins, [&](std::string_view begin) { return name.starts_with(begin); });
    const bool used = std::ranges::any_of(files_, [&](const fs::path& file) { return file.filename() == name; });
    return used || !of_model;
  });
  if (!others.empty()) {
    constexpr std::size_t kShown = 3;
    const std::span shown = std::span(others).first(std::min(kShown, others.size()));
    notes_.push_back(
        fmt::format("other weights that the folder holds are not used: {}{}", fmt::join(shown, ", "),
                    others.size() > kShown ? fmt::format(" and {} more files", others.size() - kShown) : ""));
  }
  note_own_code();
}

// transformers runs it in the place of its own, for who trusts it.
void Folder::note_own_code() {
  const Json* map = config_->value({"auto_map"});
  if (map == nullptr || !map->is_object()) return;
  for (const char* key : {"AutoModelForCausalLM", "AutoModel"}) {
    const Json* named = map->find(key);
    if (named == nullptr || !named->is_text()) continue;
    notes_.push_back(
        fmt::format("{}: auto_map names code of the model's own ({}), which is not run: what transformers itself "
                    "computes for this model_type is computed",
                    config_->file(), named->text()));
    return;
  }
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
  const auto alias = aliases_.find(name);
  return alias == aliases_.end() ? nullptr : find(alias->second);
}

}  // namespace pkv::hf
