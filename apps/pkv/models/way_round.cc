#include "models/way_round.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/architectures.h"
#include "files/hf/config.h"
#include "models/find.h"
#include "options/text.h"
#include "show/environment.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;

// What to paste; where there is only little to see of it, the lines stand under each other.
std::string recording(const fs::path& model, const std::vector<std::string>& options = {}) {
  std::vector<std::string> record{"python3", recorder().string(), model.string(), std::string(kArticleText)};
  record.insert(record.end(), options.begin(), options.end());
  return fmt::format(
      "what transformers does with it can be checked (pip install torch transformers):\n"
      "            {}\n"
      "            pkv check --recorded without.safetensors with.safetensors",
      show::shell_command(record));
}

// Why the engine does not know the type of a folder's model, where it does not.
std::optional<Error> unknown_type(const fs::path& model) {
  std::optional<hf::Config> config;
  try {
    config.emplace(hf::Config::open(model / "config.json"));
    if (!config->text_or({"model_type"}, "").empty()) model::architecture_of(*config);
  } catch (const Error& error) {
    if (config) return error;
  }
  return std::nullopt;
}

bool is_gguf(const fs::path& file) {
  std::array<char, 4> magic{};
  std::ifstream(file, std::ios::binary).read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

// The file itself, or the first of a folder that has no config.
fs::path gguf_of(const fs::path& model) {
  std::error_code error;
  if (fs::is_regular_file(model, error)) return is_gguf(model) ? model : fs::path();
  std::vector<fs::path> found;
  if (fs::exists(model / "config.json", error)) return {};
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".gguf") found.push_back(at->path());
  }
  return found.empty() ? fs::path() : *std::ranges::min_element(found);
}

}  // namespace

Error with_way_round(const Error& error, const fs::path& model) {
  if (const fs::path gguf = gguf_of(model); !gguf.empty()) {
    const fs::path folder = gguf.parent_path();
    return {error.kind(),
            {.what = "is GGUF, which pkv's engine does not run",
             .where = gguf.string(),
             .expected = "a folder that save_pretrained wrote",
             .hint = recording(folder.empty() ? "." : folder, {"--gguf-file", gguf.filename().string()})}};
  }
  const std::optional<Error> unknown = unknown_type(model);
  if (!unknown) return error;
  Error::Text text = unknown->text();
  const bool meant = text.hint.starts_with("did you mean");
  text.hint = (meant ? text.hint.substr(0, text.hint.find('?') + 1) + " Else " : "") + recording(model);
  text.what = "pkv's own engine does not run models of this type";
  return {error.kind(), text};
}

}  // namespace pkv::program
