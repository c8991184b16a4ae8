#include "models/way_round.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/architectures.h"
#include "engine/model/gguf/source.h"
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

}  // namespace

Error with_way_round(const Error& error, const fs::path& model) {
  if (gguf::is_gguf_file(model)) {
    if (error.text().what != model::kUnknownArchitecture) return error;
    const fs::path folder = model.parent_path();
    Error::Text text = error.text();
    text.hint += (text.hint.empty() ? "" : " Else ") +
                 recording(folder.empty() ? "." : folder, {"--gguf-file", model.filename().string()});
    return {error.kind(), text};
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
