// pkv inspect: what is in a model folder, or in any folder or file, without reading its weights.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "engine/model/gguf/source.h"
#include "engine/model/model.h"
#include "engine/model/open_source.h"
#include "engine/model/outline.h"
#include "exit_code.h"
#include "files/hf/contents.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "options/output.h"
#include "options/shared.h"
#include "show/columns.h"
#include "terminal/say.h"
#include "text/text.h"

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

// Lines of a name and a value; none without a value.
class Lines {
 public:
  explicit Lines(const OutputOptions& output) : output_(output) {}

  void operator()(std::string_view name, const std::string& value) {
    if (!value.empty()) text += output_.line(name, value);
  }
  void tensors(std::span<const containers::Tensor> all, std::span<const containers::Unreadable> unreadable) {
    text += "\n";
    for (const containers::Tensor& t : all) tensor(t.name, t.type(), shape_text(t.shape));
    for (const containers::Unreadable& t : unreadable) {
      tensor(t.name, t.dtype, shape_text(t.shape) + " (pkv can't read this dtype)");
    }
  }
  void tensors(std::span<const gguf::Model::Found> all) {
    text += "\n";
    for (const gguf::Model::Found& t : all) tensor(t.info->name, t.info->type->name, shape_text(t.info->shape));
  }
  std::string text;

 private:
  // In two lines where one is too long.
  void tensor(std::string_view name, std::string_view dtype, const std::string& shape) {
    const std::string what = fmt::format("{:<5} {}", dtype, shape), line = fmt::format("{:<60} {}\n", name, what);
    text += output_.fits(line) ? line : fmt::format("{}\n  {}\n", name, what);
  }

  const OutputOptions& output_;
};

// What there is of a tokenizer: how many tokens it has, or why it cannot be used. None: the folder has no such file.
struct TokenizerFound {
  std::optional<std::int64_t> tokens;
  std::string problem;
};
TokenizerFound load_tokenizer_of(const std::filesystem::path& model) try {
  return {.tokens = text::Tokenizer::load(model).vocab_size(), .problem = {}};
} catch (const Error& e) {
  return {.tokens = {}, .problem = in_one_line(e)};
}
std::optional<TokenizerFound> find_tokenizer(const std::filesystem::path& folder) {
  static constexpr std::array<std::string_view, 6> kFiles{"tokenizer.json", "vocab.json",   "tokenizer.model",
                                                          "vocab.txt",      "spiece.model", "sentencepiece.bpe.model"};
  std::error_code error;
  if (gguf::is_gguf_file(folder)) return load_tokenizer_of(folder);
  const auto there = [&](std::string_view name) { return std::filesystem::exists(folder / name, error); };
  if (std::ranges::none_of(kFiles, there)) return std::nullopt;
  return load_tokenizer_of(folder);
}

// `vocab`: of the model, where that is known.
std::string text_of(const std::optional<TokenizerFound>& tokenizer, std::optional<std::int64_t> vocab) {
  if (!tokenizer) return "none here";
  if (!tokenizer->tokens) return "cannot be used: " + tokenizer->problem;
  const bool larger = vocab && *tokenizer->tokens > *vocab;
  return fmt::format("{} tokens{}", show::grouped(*tokenizer->tokens), larger ? ", more than the model has" : "");
}

// A type of a GGUF file's tensors, and how much of the file is of it.
struct TypeSum {
  std::string_view name;
  std::uint64_t bytes = 0;
  std::size_t tensors = 0;
};
// The most first.
std::vector<TypeSum> types_of(const gguf::Model& model) {
  std::map<std::string_view, TypeSum> by_name;
  for (const gguf::Model::Found& t : model.tensors()) {
    TypeSum& sum = by_name[t.info->type->name];
    sum.name = t.info->type->name;
    sum.bytes += t.info->bytes;
    ++sum.tensors;
  }
  std::vector<TypeSum> types;
  for (const auto& [name, sum] : by_name) types.push_back(sum);
  std::ranges::stable_sort(types, std::greater<>(), &TypeSum::bytes);
  return types;
}

void add_gguf(Lines& line, const gguf::Model& model) {
  constexpr std::size_t kWidth = 90;
  for (const TypeSum& t : types_of(model)) {
    line("type",
         fmt::format("{}: {} in {} tensor{}", t.name, megabytes(t.bytes), t.tensors, t.tensors == 1 ? "" : "s"));
  }
  for (const gguf::Pair& pair : model.metadata().pairs()) {
    line("metadata", fmt::format("{}: {}", pair.key, gguf::short_text(pair.value, kWidth)));
  }
}

std::int64_t past_bytes(const model::Inspection& found) {
  const model::Card& c = found.card;
  return 2 * c.layers_with_keys() * c.kv_heads * c.head_dim * static_cast<std::int64_t>(size_of(found.past_dtype));
}

// Layers with a state say how large; those with a window keep the last tokens alone: "; 5 of 6 layers keep the last 512
// tokens alone, at most 2.6 MB".
std::string windows_text(const model::Card& c, std::size_t bytes_of_value) {
  std::map<std::int64_t, std::int64_t> layers;  // by window
  for (const std::int64_t window : c.windows) layers[window] += window > 0 ? 1 : 0;
  std::string text;
  if (const std::vector<model::StateShape> states = c.states(); !states.empty()) {
    text = fmt::format("; {} of {} layers keep a state in place of keys and values: {}, and as much for each snapshot",
                       states.size(), c.layers, megabytes(c.state_bytes()));
  }
  for (const auto& [window, count] : layers) {
    if (count == 0) continue;
    const auto most = static_cast<std::uint64_t>(2 * count * window * c.kv_heads * c.head_dim) * bytes_of_value;
    text += fmt::format("; {} of {} layers keep the last {} tokens alone: at most {}", count, c.layers,
                        show::grouped(window), megabytes(most));
  }
  return text;
}

std::string as_text(const model::Source& folder, const model::Inspection& found, const InspectOptions& options) {
  const model::Card& c = found.card;
  Lines line(options.output);
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
  line("past", fmt::format("{} bytes a token ({}){}", show::grouped(past_bytes(found)), name_of(found.past_dtype),
                           windows_text(c, size_of(found.past_dtype))));
  line("tokenizer", text_of(find_tokenizer(folder.path()), c.vocab));
  for (const auto& file : model::weight_files(folder)) line("file", file.filename().string());
  if (const auto* source = dynamic_cast<const model::GgufSource*>(&folder)) add_gguf(line, source->model());
  for (const std::string& note : found.notes) line("note", note);
  if (options.tensors) line.tensors(folder.tensors(), folder.unreadable());
  return line.text;
}

// What is there of what pkv does not run, and what keeps it from being run.
struct Unrunnable {
  std::string path;
  hf::Contents contents;
  model::Outline outline;  // empty without a config
  std::optional<TokenizerFound> tokenizer;
  std::vector<Error> why;
  std::optional<gguf::Model> gguf;  // of a GGUF file whose headers can be read
};

// Number formats of the tensors, with the bytes of each: "F32, 2.7 MB; U8, 0.1 MB".
std::string formats_of(const hf::Contents& contents) {
  std::map<std::string, std::uint64_t> bytes;
  for (const containers::Tensor& t : contents.tensors) bytes[std::string(t.type())] += t.data.size();
  for (const containers::Unreadable& t : contents.unreadable) bytes[std::string(t.dtype)] += t.bytes;
  std::string text;
  for (const auto& [dtype, n] : bytes) {
    text += fmt::format("{}{}, {}", text.empty() ? "" : "; ", dtype, megabytes(n));
  }
  return text;
}

// The number format that keys and values would have: the config's, else that of the largest tensor.
DType past_dtype(const Unrunnable& found) {
  if (found.outline.dtype && is_float(*found.outline.dtype)) return *found.outline.dtype;
  DType dtype = DType::f32;
  std::size_t most = 0;
  for (const containers::Tensor& t : found.contents.tensors) {
    if (is_float(t.dtype) && t.data.size() > most) most = t.data.size(), dtype = t.dtype;
  }
  return dtype;
}

std::string past_text(const Unrunnable& found) {
  const model::Outline& o = found.outline;
  if (!o.past) return o.no_past;
  const DType dtype = past_dtype(found);
  const auto bytes = [&](std::int64_t values) {
    return show::grouped(values * static_cast<std::int64_t>(size_of(dtype)));
  };
  std::string text = fmt::format("{} bytes a token ({})", bytes(o.past->values), name_of(dtype));
  if (o.past->unfolded > 0) text += fmt::format(", latents; {} unfolded", bytes(o.past->unfolded));
  if (o.past->layers != *o.layers) text += fmt::format(", in {} of {} layers", o.past->layers, *o.layers);
  if (o.past->windowed > 0) text += fmt::format("; {} of them keep a window alone", o.past->windowed);
  return text;
}

void add_outline(Lines& line, const model::Outline& o) {
  const auto number = [](const std::optional<std::int64_t>& n) { return n ? show::grouped(*n) : std::string(); };
  line("model_type", o.model_type.empty() ? "not said" : o.model_type);
  line("layers", number(o.layers));
  line("hidden", number(o.hidden) + (o.hidden && o.inner ? ", inner " + number(o.inner) : ""));
  const std::string size = o.head_dim ? fmt::format(" of size {}", *o.head_dim) : "";
  const std::string kv = o.kv_heads ? fmt::format(", keys and values for {}", *o.kv_heads) : "";
  line("heads", o.heads ? fmt::format("{}{}{}", *o.heads, size, kv) : "");
  line("vocabulary", number(o.vocab));
  line("context", o.context ? number(o.context) + " tokens" : "");
  line("window", o.window ? number(o.window) + " tokens, in layers that have one" : "");
  line("output layer", !o.tied ? "" : *o.tied ? "tied to the embedding" : "its own matrix");
  line("quantised", o.quantised_by.empty() ? "" : "by " + o.quantised_by);
}

// What a file says beside its tensors.
void add_said(Lines& line, const hf::Contents& contents) {
  constexpr std::size_t kFew = 20;
  for (std::size_t i = 0; i < std::min(kFew, contents.said.size()); ++i) {
    line("says", fmt::format("{}: {}", contents.said[i].first, contents.said[i].second));
  }
  if (contents.said.size() > kFew) line("says", fmt::format("{} more", contents.said.size() - kFew));
}

std::string as_text(const Unrunnable& found, const InspectOptions& options) {
  const hf::Contents& contents = found.contents;
  Lines line(options.output);
  line(contents.folder ? "model" : "file", found.path);
  if (!contents.folder) line("kind", contents.kind);
  if (contents.config) add_outline(line, found.outline);
  if (!contents.files.empty()) {
    line("elements", fmt::format("{} in {} tensors", show::grouped(contents.parameters()),
                                 show::grouped(std::ssize(contents.tensors) + std::ssize(contents.unreadable))));
    line("weights", formats_of(contents));
  }
  if (contents.config) line("past", past_text(found));
  if (contents.folder || found.tokenizer) line("tokenizer", text_of(found.tokenizer, found.outline.vocab));
  if (contents.folder) {
    for (const auto& file : contents.files) line("file", file.filename().string());
  }
  if (found.gguf) {
    for (const gguf::Container& part : found.gguf->parts()) line("file", part.path().filename().string());
    add_gguf(line, *found.gguf);
    if (options.tensors) line.tensors(found.gguf->tensors());
  } else {
    add_said(line, contents);
  }
  if (options.tensors && !contents.files.empty()) line.tensors(contents.tensors, contents.unreadable);
  if (!found.why.empty()) line.text += "\nWhat keeps it from being run:\n";
  for (const Error& e : found.why) {
    const std::string lines = fmt::format("{}\n", e.what());
    line.text += options.output.file.empty() ? for_terminal_of(STDOUT_FILENO, lines) : lines;
  }
  return line.text;
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
void write_tensors(JsonWriter& json, std::span<const containers::Tensor> tensors,
                   std::span<const containers::Unreadable> unreadable) {
  if (!tensors.empty()) {
    json.array("tensors", [&] {
      for (const auto& t : tensors) write_tensor(json, t.name, t.type(), t.shape);
    });
  }
  if (!unreadable.empty()) {
    json.array("unreadable", [&] {
      for (const auto& t : unreadable) write_tensor(json, t.name, t.dtype, t.shape);
    });
  }
}

void write_tokenizer(JsonWriter& json, const std::optional<TokenizerFound>& found) {
  if (!found) return;
  json.object("tokenizer", [&] {
    if (found->tokens) json.member("tokens", *found->tokens);
    if (!found->problem.empty()) json.member("problem", found->problem);
  });
}

// A value as JSON has it; of a long list what it is made of and how long it is.
void write_value(JsonWriter& json, const gguf::Value& v) {
  constexpr std::uint64_t kMost = 64;
  if (!v.array) return json.raw(gguf::element_as_json(v, 0));
  if (v.count > kMost) {
    return json.object([&] {
      json.member("array_of", gguf::name_of(v.type));
      json.member("count", v.count);
    });
  }
  json.array([&] {
    for (std::uint64_t i = 0; i < v.count; ++i) json.raw(gguf::element_as_json(v, i));
  });
}

void write_gguf(JsonWriter& json, const gguf::Model& model) {
  json.object("gguf", [&] {
    json.member("version", model.parts().front().version());
    json.array("types", [&] {
      for (const TypeSum& t : types_of(model)) {
        json.object([&] {
          json.member("type", t.name);
          json.member("bytes", t.bytes);
          json.member("tensors", t.tensors);
        });
      }
    });
    json.object("metadata", [&] {
      for (const gguf::Pair& pair : model.metadata().pairs()) {
        json.key(pair.key);
        write_value(json, pair.value);
      }
    });
  });
}

void write_files(JsonWriter& json, std::span<const std::filesystem::path> files) {
  json.array("files", [&] {
    for (const auto& file : files) json.value(file.filename().string());
  });
}

// What the config does not say is left out.
void write_outline(JsonWriter& json, const model::Outline& o) {
  const auto member = [&](std::string_view name, const auto& value) {
    if (value) json.member(name, *value);
  };
  if (!o.model_type.empty()) json.member("model_type", o.model_type);
  member("layers", o.layers);
  member("hidden", o.hidden);
  member("inner", o.inner);
  member("heads", o.heads);
  member("kv_heads", o.kv_heads);
  member("head_dim", o.head_dim);
  member("vocab", o.vocab);
  member("context", o.context);
  member("window", o.window);
  member("tied", o.tied);
  if (!o.quantised_by.empty()) json.member("quantised_by", o.quantised_by);
}

std::string as_json(const Unrunnable& found, bool tensors) {
  const hf::Contents& contents = found.contents;
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-inspect/1");
  json.member("model", hf::display_name(found.path));
  json.member("path", found.path);
  json.member("runs", false);
  if (!contents.folder && !contents.kind.empty()) json.member("kind", contents.kind);
  if (contents.config) {
    write_outline(json, found.outline);
    const auto size = static_cast<std::int64_t>(size_of(past_dtype(found)));
    if (found.outline.past) json.member("past_bytes_per_token", found.outline.past->values * size);
  }
  if (!contents.files.empty()) {
    json.member("elements", contents.parameters());
    json.member("bytes", contents.bytes());
  }
  write_tokenizer(json, found.tokenizer);
  write_files(json, contents.files);
  if (found.gguf) write_gguf(json, *found.gguf);
  json.array("problems", [&] {
    for (const Error& e : found.why) json.value(in_one_line(e));
  });
  if (tensors) write_tensors(json, contents.tensors, contents.unreadable);
  json.close_object();
  return json.text() + "\n";
}

std::string as_json(const model::Source& folder, const model::Inspection& found, bool tensors) {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-inspect/1");
  json.member("model", hf::display_name(folder.path()));
  json.member("path", folder.path().string());
  json.member("runs", true);
  write_card(json, found.card);
  json.member("parameters", found.weights.parameters);
  json.member("format", found.weights.format());
  json.member("weight_bytes", found.weights.bytes);
  json.member("past_bytes_per_token", past_bytes(found));
  if (std::ranges::any_of(found.card.windows, [](std::int64_t w) { return w > 0; })) {
    json.member("windows", found.card.windows);  // by layer; 0: none
  }
  if (found.card.state_bytes() > 0) {
    json.member("layers_with_keys", found.card.layers_with_keys());
    json.member("state_bytes", found.card.state_bytes());
  }
  json.member("notes", found.notes);
  if (found.weights.quantized) {
    if (found.weights.block != 0) json.member("block_size", found.weights.block);
    json.member("double_quant", found.weights.nested);
    json.member("not_quantised", found.weights.plain);
  }
  write_tokenizer(json, find_tokenizer(folder.path()));
  write_files(json, model::weight_files(folder));
  if (const auto* source = dynamic_cast<const model::GgufSource*>(&folder)) write_gguf(json, source->model());
  if (tensors) write_tensors(json, folder.tensors(), folder.unreadable());
  json.close_object();
  return json.text() + "\n";
}

// An error that sends its reader to this command, for those who are here.
Error without_hint_to_inspect(const Error& e) {
  Error::Text text = e.text();
  if (text.hint.starts_with("pkv inspect")) text.hint.clear();
  return Error(e.kind(), text);
}

Unrunnable look_at(const std::filesystem::path& path, const Error& why) {
  Unrunnable found{
      .path = path.string(), .contents = hf::contents_of(path), .outline = {}, .tokenizer = {}, .why = {}, .gguf = {}};
  if (found.contents.config) found.outline = model::outline_of(*found.contents.config);
  if (found.contents.folder) found.tokenizer = find_tokenizer(path);
  if (gguf::is_gguf_file(path)) {
    try {
      found.gguf.emplace(gguf::Model::open(path));
      if (found.gguf->metadata().has("tokenizer.ggml.model")) found.tokenizer = load_tokenizer_of(path);
    } catch (const Error&) {  // which is what keeps it from being run
    }
  }
  found.why.push_back(without_hint_to_inspect(why));
  for (const Error& e : found.contents.faults) {
    if (std::string_view(e.what()) != why.what()) found.why.push_back(e);
  }
  return found;
}

int run(const InspectOptions& options) {
  const std::filesystem::path path = find_model(options.model);
  const bool json = options.output.is(Form::json);
  std::optional<Error> why;
  try {
    const std::unique_ptr<const model::Source> source = model::open_source(path);
    const model::Inspection found = model::inspect(*source);
    options.output.write(json ? as_json(*source, found, options.tensors) : as_text(*source, found, options));
    return holds;
  } catch (const Error& e) {
    if (e.kind() != Error::Kind::load) throw;
    why = e;
  }
  const Unrunnable found = look_at(path, *why);
  options.output.write(json ? as_json(found, options.tensors) : as_text(found, options));
  return holds;
}

}  // namespace

Command inspect_command() {
  auto o = std::make_shared<InspectOptions>();
  Command command{.name = "inspect",
                  .help = "What is in a model folder, or in any folder or file; reads no weights",
                  .notes =
                      "Of what pkv cannot run it shows what there is, and below that what keeps it from being run; the "
                      "exit code is 0.",
                  .examples = {"pkv inspect tiny-falcon", "pkv inspect ./my-model --tensors --output json",
                               "pkv inspect ./model.safetensors --tensors"},
                  .run = [o] { return run(*o); }};
  command.add({model_word(o->model), {.name = "--tensors", .target = &o->tensors, .help = "list the tensors too"}});
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace pkv::program
