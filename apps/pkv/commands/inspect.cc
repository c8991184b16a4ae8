// pkv inspect: what is in a model folder, without reading its weights.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "options/output.h"
#include "options/shared.h"
#include "show/columns.h"
#include "show/dumped.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

struct InspectOptions {
  std::string model;
  bool tensors = false;
  OutputOptions output;
};

std::string not_quantised(const model::Inventory& w) {
  constexpr std::size_t kFew = 4;
  if (!w.quantized || w.plain.empty()) return {};
  const std::string names = fmt::format(
      "{}",
      fmt::join(w.plain.begin(), w.plain.begin() + static_cast<std::ptrdiff_t>(std::min(kFew, w.plain.size())), ", "));
  return w.plain.size() <= kFew ? names : fmt::format("{} and {} more layers", names, w.plain.size() - kFew);
}

std::string as_text(const hf::Folder& folder, const model::Inspection& found, bool tensors) {
  const model::Card& c = found.card;
  const std::int64_t past =
      2 * c.layers * c.kv_heads * c.head_dim * static_cast<std::int64_t>(size_of(found.past_dtype));
  std::string s;
  const auto line = [&s](std::string_view name, const std::string& value) {
    if (!value.empty()) s += fmt::format("{:<15}{}\n", name, value);
  };
  line("model", folder.path().string());
  line("family", c.notes.empty() ? c.family : fmt::format("{} ({})", c.family, c.notes));
  line("model_type", c.model_type);
  line("layers", show::grouped(c.layers));
  line("hidden", fmt::format("{}, inner {}", show::grouped(c.hidden), show::grouped(c.inner)));
  line("heads", fmt::format("{} of size {}, keys and values for {}", c.heads, c.head_dim, c.kv_heads));
  line("vocabulary", show::grouped(c.vocab));
  line("positions", positions_text(c));
  line("context", show::grouped(c.context) + (c.context_is_hard ? " tokens" : " tokens, as trained"));
  line("attention", c.causal ? "causal" : "both ways");
  line("output layer", c.tied ? "tied to the embedding" : "its own matrix");
  line("parameters", show::grouped(found.weights.parameters));
  line("weights", fmt::format("{}, {}", found.weights.describe(), megabytes(found.weights.bytes)));
  line("not quantised", not_quantised(found.weights));
  line("past", fmt::format("{} bytes a token ({})", show::grouped(past), name_of(found.past_dtype)));
  for (const auto& file : folder.files()) line("file", file.filename().string());
  for (const std::string& note : found.notes) line("note", note);
  if (!tensors) return s;
  s += "\n";
  for (const containers::Tensor& t : folder.tensors()) {
    s += fmt::format("{:<60} {:<5} {}\n", t.name, safetensors_name(t.dtype), shape_text(t.shape));
  }
  for (const containers::Unreadable& t : folder.unreadable()) {
    s += fmt::format("{:<60} {:<5} {} (pkv can't read this dtype)\n", t.name, t.dtype, shape_text(t.shape));
  }
  return s;
}

std::string as_json(const hf::Folder& folder, const model::Inspection& found, bool tensors) {
  const model::Card& c = found.card;
  nlohmann::ordered_json j{{"schema", "pkv-inspect/1"},
                           {"model", folder.path().string()},
                           {"family", c.family},
                           {"model_type", c.model_type},
                           {"shape", c.notes},
                           {"layers", c.layers},
                           {"hidden", c.hidden},
                           {"inner", c.inner},
                           {"heads", c.heads},
                           {"kv_heads", c.kv_heads},
                           {"head_dim", c.head_dim},
                           {"vocab", c.vocab},
                           {"positions", positions_text(c)},
                           {"context", c.context},
                           {"context_is_hard", c.context_is_hard},
                           {"causal", c.causal},
                           {"tied", c.tied},
                           {"parameters", found.weights.parameters},
                           {"format", found.weights.format()},
                           {"weight_bytes", found.weights.bytes},
                           {"notes", found.notes}};
  if (found.weights.quantized) {
    if (found.weights.block != 0) j["block_size"] = found.weights.block;
    j["double_quant"] = found.weights.nested;
    j["not_quantised"] = found.weights.plain;
  }
  for (const auto& file : folder.files()) j["files"].push_back(file.filename().string());
  if (tensors) {
    for (const containers::Tensor& t : folder.tensors()) {
      j["tensors"].push_back({{"name", t.name}, {"dtype", safetensors_name(t.dtype)}, {"shape", t.shape}});
    }
    for (const containers::Unreadable& t : folder.unreadable()) {
      j["unreadable"].push_back({{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}});
    }
  }
  return show::dumped(j);
}

int run(const InspectOptions& options) {
  const hf::Folder folder = hf::Folder::open(find_model(options.model));
  const model::Inspection found = model::inspect(folder);
  options.output.write(options.output.is(Form::json) ? as_json(folder, found, options.tensors)
                                                     : as_text(folder, found, options.tensors));
  return holds;
}

}  // namespace

Command inspect_command() {
  auto o = std::make_shared<InspectOptions>();
  Command command{.name = "inspect",
                  .help = "What is in a model folder; reads no weights",
                  .examples = {"pkv inspect tiny-falcon", "pkv inspect ./my-model --tensors --output json"},
                  .run = [o] { return run(*o); }};
  command.add({model_word(o->model), {.name = "--tensors", .target = &o->tensors, .help = "list the tensors too"}});
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace pkv::program
