// pkv inspect: what is in a model folder, without reading its weights.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "base/json_writer.h"
#include "commands/commands.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "options/output.h"
#include "options/shared.h"
#include "show/columns.h"
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

void write_card(JsonWriter& json, const model::Card& c) {
  json.member("family", c.family);
  json.member("model_type", c.model_type);
  json.member("shape", c.notes);
  json.member("layers", c.layers);
  json.member("hidden", c.hidden);
  json.member("inner", c.inner);
  json.member("heads", c.heads);
  json.member("kv_heads", c.kv_heads);
  json.member("head_dim", c.head_dim);
  json.member("vocab", c.vocab);
  json.member("positions", positions_text(c));
  json.member("context", c.context);
  json.member("context_is_hard", c.context_is_hard);
  json.member("causal", c.causal);
  json.member("tied", c.tied);
}

void write_tensor(JsonWriter& json, std::string_view name, std::string_view dtype,
                  const std::vector<std::int64_t>& shape) {
  json.object([&] {
    json.member("name", name);
    json.member("dtype", dtype);
    json.member("shape", shape);
  });
}

// Lists without elements are left out.
void write_tensors(JsonWriter& json, const hf::Folder& folder) {
  if (!folder.tensors().empty()) {
    json.array("tensors", [&] {
      for (const auto& t : folder.tensors()) write_tensor(json, t.name, safetensors_name(t.dtype), t.shape);
    });
  }
  if (!folder.unreadable().empty()) {
    json.array("unreadable", [&] {
      for (const auto& t : folder.unreadable()) write_tensor(json, t.name, t.dtype, t.shape);
    });
  }
}

std::string as_json(const hf::Folder& folder, const model::Inspection& found, bool tensors) {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-inspect/1");
  json.member("model", folder.path().string());
  write_card(json, found.card);
  json.member("parameters", found.weights.parameters);
  json.member("format", found.weights.format());
  json.member("weight_bytes", found.weights.bytes);
  json.member("notes", found.notes);
  if (found.weights.quantized) {
    if (found.weights.block != 0) json.member("block_size", found.weights.block);
    json.member("double_quant", found.weights.nested);
    json.member("not_quantised", found.weights.plain);
  }
  json.array("files", [&] {
    for (const auto& file : folder.files()) json.value(file.filename().string());
  });
  if (tensors) write_tensors(json, folder);
  json.close_object();
  return json.text() + "\n";
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
