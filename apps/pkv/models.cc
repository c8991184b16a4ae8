#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "program.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;

// $PKV_MODELS, beside the installed program, or in the source folder that the program was built from.
fs::path models_folder() {
  if (const char* set = std::getenv("PKV_MODELS"); set != nullptr && *set != '\0') return set;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / PKV_DATADIR / "pkv" / "models";
  if (!error && fs::is_directory(installed, error)) return installed;
  return PKV_SOURCE_MODELS;
}

}  // namespace

std::vector<fs::path> bundled_models() {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(models_folder(), error)) {
    if (fs::exists(entry.path() / "config.json")) found.push_back(entry.path());
  }
  // The article's order: GPT-2, RoBERTa, MPT, Falcon; whatever else comes after, by name.
  const std::vector<std::string> order{"tiny-gpt2", "tiny-roberta", "tiny-mpt", "tiny-falcon"};
  const auto rank = [&](const fs::path& p) {
    return std::pair(std::find(order.begin(), order.end(), p.filename().string()) - order.begin(),
                     p.filename().string());
  };
  std::sort(found.begin(), found.end(), [&](const fs::path& a, const fs::path& b) { return rank(a) < rank(b); });
  return found;
}

fs::path find_model(const std::string& model) {
  if (fs::exists(model)) return model;
  std::vector<std::string> names;
  for (const fs::path& bundled : bundled_models()) {
    names.push_back(bundled.filename().string());
    if (names.back() == model) return bundled;
  }
  fail_load({.what = "no such model",
             .where = model,
             .expected = fmt::format("a model folder, or a bundled model: {}", fmt::join(names, ", ")),
             .found = "neither a folder nor a bundled model of that name"});
}

std::string display_name(const fs::path& folder) {
  std::error_code error;
  const fs::path path = fs::absolute(folder, error).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

model::Model load_model(const fs::path& folder, const EngineOptions& options) {
  model::Model model = model::load(hf::Folder::open(folder), options.open(), options.formats);
  for (const std::string& line : model.notes()) note(line);
  return model;
}

void require_context(const model::Card& card, std::int64_t tokens, bool beyond_context) {
  if (tokens <= card.context || (beyond_context && !card.context_is_hard)) return;
  fail_usage({.what = "the text is longer than the model's context",
              .expected = fmt::format("at most {} tokens", card.context),
              .found = fmt::format("{} tokens", tokens),
              .hint = card.context_is_hard
                          ? "a shorter text"
                          : fmt::format("a shorter text, or --beyond-context: {} positions have no fixed end",
                                        card.positions)});
}

}  // namespace pkv::program
