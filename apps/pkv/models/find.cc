#include "models/find.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "engine/model/architectures.h"
#include "files/hf/config.h"
#include "models/hub.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhereModelsAre = "PKV_MODELS set to the folder that holds them";

// $PKV_MODELS, beside the installed program, or in the source folder that the program was built from.
fs::path models_folder() {
  if (const char* set = std::getenv("PKV_MODELS"); set != nullptr && *set != '\0') return set;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / PKV_DATADIR / "pkv" / "models";
  if (!error && fs::is_directory(installed, error)) return installed;
  return PKV_SOURCE_MODELS;
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

// What a MODEL may be, for one that is none.
std::string what_models_are() {
  const std::vector<std::string> names = bundled_names();
  const std::string bundled = names.empty() ? "" : fmt::format(", a bundled model ({})", fmt::join(names, ", "));
  return fmt::format("a model folder{}, or a model of the Hugging Face Hub (organisation/name)", bundled);
}

}  // namespace

fs::path find_model(const std::string& model) {
  std::error_code error;
  if (fs::exists(model, error)) return model;
  if (const auto bundled = find_bundled(model)) return *bundled;
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
    if (bundled_names().empty()) text.hint = fmt::format("{}, or {}", kWhereModelsAre, text.hint);
    throw Error(e.kind(), text);
  }
}

}  // namespace pkv::program
