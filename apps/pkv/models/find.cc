#include "models/find.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "engine/model/architectures.h"
#include "files/gguf/gguf.h"
#include "files/hf/config.h"
#include "models/hub.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhereModelsAre = "PKV_MODELS set to the folder that holds them";

// Beside the installed program, or in the source folder that the program was built from.
fs::path installed_or_source(const fs::path& name) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / PKV_DATADIR / "pkv" / name;
  if (!error && fs::exists(installed, error)) return installed;
  return fs::path(PKV_SOURCES) / name;
}

// $PKV_MODELS, or those that came with the program.
fs::path models_folder() {
  if (const char* set = std::getenv("PKV_MODELS"); set != nullptr && *set != '\0') return set;
  return installed_or_source("models");
}

// Place of the model's architecture in the list of them, which is the article's order; behind them all where its config
// says none of them.
std::ptrdiff_t place_in_list(const fs::path& model) {
  const auto list = model::architectures();
  try {
    const hf::Config config = hf::Config::open(model / "config.json");
    const auto* found = model::find_architecture(config.text_or({"model_type"}, ""));
    return found == nullptr ? std::ssize(list) : found - list.data();
  } catch (const Error&) {
    return std::ssize(list);  // whoever opens the model is told what is wrong with it
  }
}

std::vector<fs::path> models_in(const fs::path& folder) {
  std::vector<std::tuple<std::ptrdiff_t, std::string, fs::path>> ranked;
  std::error_code error, ignored;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const fs::path& path = at->path();
    if (fs::exists(path / "config.json", ignored)) {
      ranked.emplace_back(place_in_list(path), path.filename().string(), path);
    }
  }
  std::ranges::sort(ranked);
  std::vector<fs::path> found;
  for (auto& [place, name, path] : ranked) found.push_back(std::move(path));
  return found;
}

}  // namespace

std::vector<std::string> bundled_names() {
  std::vector<std::string> names;
  for (const fs::path& model : models_in(models_folder())) names.push_back(model.filename().string());
  return names;
}

std::vector<fs::path> bundled_models() {
  const fs::path folder = models_folder();
  std::vector<fs::path> found = models_in(folder);
  if (found.empty()) {
    fail_load({.what = "no bundled models found",
               .where = folder.string(),
               .hint = fmt::format("{}, or a model folder: pkv review MODEL...", kWhereModelsAre)});
  }
  return found;
}

namespace {

std::optional<fs::path> find_bundled(const std::string& model) {
  for (const fs::path& bundled : models_in(models_folder())) {
    if (bundled.filename().string() == model) return bundled;
  }
  return {};
}

// Can only be a path: no name on the Hub looks so, or there is a folder for its first part.
bool is_path(const std::string& model) {
  if (model.starts_with('.') || model.starts_with('/') || model.starts_with('~') || model.ends_with('/')) return true;
  if (std::ranges::count(model, '/') <= 1) return false;
  std::error_code error;
  return !model.ends_with(".gguf") || fs::is_directory(model.substr(0, model.find('/')), error);
}

// What stands in the folder that a path leads to.
std::vector<std::string> listing_beside(const fs::path& path) {
  std::vector<std::string> names;
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

void refuse_folder_of_models(const fs::path& path) {
  constexpr std::size_t kFew = 8;
  std::error_code error;
  if (!fs::is_directory(path, error) || fs::exists(path / "config.json", error)) return;
  std::vector<std::string> names;
  for (const fs::path& model : models_in(path)) names.push_back(model.filename().string());
  if (names.empty()) return;
  const std::string first = (path / names[0]).lexically_normal().string();
  const bool more = names.size() > kFew;
  names.resize(std::min(names.size(), kFew));
  fail_load({.what = "is a folder of model folders",
             .where = path.string(),
             .expected = "one of them, or all with pkv review",
             .found = fmt::format("{}{}", fmt::join(names, ", "), more ? ", ..." : ""),
             .hint = first});
}

// The GGUF file of a folder that holds one model in that format and none in another; of one in parts the first.
fs::path gguf_in(const fs::path& folder) {
  constexpr std::size_t kFew = 8;
  std::error_code error;
  if (!fs::is_directory(folder, error) || fs::exists(folder / "config.json", error)) return {};
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::vector<std::string> models = gguf::models_among(names);
  if (models.empty()) return {};
  if (models.size() == 1) return folder / models[0];
  const bool more = models.size() > kFew;
  models.resize(std::min(models.size(), kFew));
  fail_load({.what = "is a folder of several GGUF files",
             .where = folder.string(),
             .expected = "one of them",
             .found = fmt::format("{}{}", fmt::join(models, ", "), more ? ", ..." : ""),
             .hint = (folder / models[0]).lexically_normal().string()});
}

// What a MODEL may be, for one that is none.
std::string what_models_are() {
  const std::vector<std::string> names = bundled_names();
  const std::string bundled = names.empty() ? "" : fmt::format(", a bundled model ({})", fmt::join(names, ", "));
  return fmt::format(
      "a model folder, a GGUF file{}, or a model of the Hugging Face Hub (organisation/name, organisation/name:Q4_K_M)",
      bundled);
}

}  // namespace

fs::path recorder() {
  const fs::path script = installed_or_source(fs::path("tools") / "record_transformers.py");
  std::error_code error;
  const fs::path near = fs::relative(script, error);
  return !error && near.native().size() < script.native().size() ? near : script;
}

fs::path find_model(const std::string& given) {
  std::error_code error;
  const std::string model = fs::exists(given, error) ? given : hub::without_address(given);
  if (fs::exists(model, error)) {
    if (fs::path file = gguf_in(model); !file.empty()) return file;
    refuse_folder_of_models(model);
    return model;
  }
  if (const auto bundled = find_bundled(model)) return *bundled;
  if (is_path(model)) {
    const std::vector<std::string> names = listing_beside(model);
    const std::vector<std::string_view> views(names.begin(), names.end());
    fail_load({.what = "no such folder or file",
               .where = model,
               .expected = "a model folder, or a GGUF file",
               .hint = did_you_mean(fs::path(model).filename().string(), views)});
  }
  if (const std::string why = hub::why_no_id(model); !why.empty()) {
    fail_load({.what = "no such model",
               .where = model,
               .expected = what_models_are(),
               .found = fmt::format("no folder of that name, and no name that the Hub allows: {}", why)});
  }
  try {
    return find_on_hub(hub::parse_id(model));
  } catch (const Error& e) {
    // A slip in the name of a folder or of a bundled model looks like a name on the Hub.
    const auto slash = model.find('/');
    const bool maybe_not_hub = slash == model.npos || fs::is_directory(model.substr(0, slash), error);
    Error::Text text = e.text();
    if (!maybe_not_hub || !text.expected.empty()) throw;
    text.expected = what_models_are();
    const std::vector<std::string> names = bundled_names();
    const std::string meant = did_you_mean(model, std::vector<std::string_view>(names.begin(), names.end()));
    if (!meant.empty()) text.hint = fmt::format("{} Else {}", meant, text.hint);
    if (names.empty()) text.hint = fmt::format("{}, or {}", kWhereModelsAre, text.hint);
    throw Error(e.kind(), text);
  }
}

}  // namespace pkv::program
