// pkv past: a text's past in a file, for later runs to continue from.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "engine/model/model.h"
#include "engine/model/past_file.h"
#include "exit_code.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/shared.h"
#include "options/text.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

struct SaveOptions {
  std::string model, past_file;
  TextOptions prompt;
  EngineOptions engine;
  bool beyond_context = false;
  OutputOptions output;
};

struct ShowOptions {
  std::string past_file;
  OutputOptions output;
};

void save(const SaveOptions& options, const model::Model& model, std::span<const std::int32_t> ids) {
  try {
    const OrderlyStop stop;
    model::Past past = model.new_past();
    model::feed_in_pieces(model, past, ids, {.progress = stop.looking(progress_bar("feeding the prompt"))});
    model::save_past(
        options.past_file, model, past,
        {.threads = options.engine.threads, .progress = stop.looking(progress_bar("hashing and writing"))});
  } catch (const StopAsked&) {
    end_stopped("stopped: nothing was written");
    throw;
  }
}

std::string blocks_text(const model::SavedPast& saved) {
  const std::size_t n = saved.block_count();
  return fmt::format("{} {} of {} tokens", n, n == 1 ? "block" : "blocks", kernels::kBlockTokens);
}

std::string saved_json(const SaveOptions& options, const model::SavedPast& saved) {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-past-save/1");
  json.member("model", saved.model);
  json.member("past_file", options.past_file);
  json.member("tokens", saved.ids.size());
  json.member("blocks", saved.block_count());
  json.member("bytes", saved.file_bytes());
  json.close_object();
  return json.text() + "\n";
}

int run_save(const SaveOptions& options) {
  const TextOptions prompt = options.prompt.kept();
  if (!prompt.text && !prompt.ids) {
    fail_usage({.what = "no text to save the past of", .expected = "--text, --text-file or --ids, or a text on stdin"});
  }
  const std::filesystem::path folder = find_model(options.model);
  const model::Model model = load_model(folder, options.engine);
  model::require_savable(model);
  const Input input = read_input(prompt, folder);
  require_context(model.card(), std::ssize(input.ids), options.beyond_context);
  save(options, model, input.ids);
  const model::SavedPast saved = model::open_past(options.past_file);
  if (options.output.is(Form::json)) {
    options.output.write(saved_json(options, saved));
  } else {
    options.output.write(fmt::format("{}: {} tokens of {}, {}\n", options.past_file, saved.ids.size(), saved.model,
                                     megabytes(saved.file_bytes())));
  }
  return holds;
}

// The config in the file, which nobody promises to be JSON: null where it is not.
Json config_of(const model::SavedPast& saved) {
  try {
    return parse_json(saved.identity.config, "config");
  } catch (const Error&) {
    return {};
  }
}

std::string family_of(const model::SavedPast& saved) {
  const Json config = config_of(saved);
  const Json* type = config.find("model_type");
  return type != nullptr && type->is_text() ? type->text() : "unknown";
}

// The first ids and the last, as many as fit a line.
template <class Number>
std::string ids_text(const std::vector<Number>& ids) {
  constexpr std::size_t kEnds = 4;
  if (ids.size() <= 2 * kEnds) return fmt::format("{}", fmt::join(ids, " "));
  return fmt::format("{} ... {}", fmt::join(ids.begin(), ids.begin() + kEnds, " "),
                     fmt::join(ids.end() - kEnds, ids.end(), " "));
}

std::string show_text(const ShowOptions& options, const model::SavedPast& saved) {
  std::string s;
  const auto line = [&](std::string_view name, const std::string& value) { s += options.output.line(name, value); };
  line("past", options.past_file);
  line("model", fmt::format("{}, model_type {}", saved.model, family_of(saved)));
  line("tokens", std::to_string(saved.ids.size()));
  line("ids", ids_text(saved.ids));
  line("layers", fmt::format("{}, keys and values for {} heads of size {}, {}", saved.shape.layers,
                             saved.shape.kv_heads, saved.shape.head_dim, saved.identity.past_dtype));
  if (!saved.snapshots.empty()) {
    line("states",
         fmt::format("{}; {} a snapshot", saved.states, megabytes(saved.state_data.size() / saved.snapshots.size())));
    line("snapshots", fmt::format("after {} tokens", ids_text(saved.snapshots)));
  }
  line("size", fmt::format("{}, {}", megabytes(saved.file_bytes()), blocks_text(saved)));
  line("checksums", "right");
  line("weights", saved.identity.format);
  line("", saved.identity.weights);
  line("tokenizer", saved.identity.tokenizer);
  line("backend", fmt::format("{}, arithmetic {}", saved.identity.backend,
                              saved.identity.numerics.substr(0, saved.identity.numerics.find(','))));
  if (const auto names = model::operation_names(saved.identity); !names.empty()) {
    line("operations", fmt::format("{}", fmt::join(names, ", ")));
  }
  return s;
}

std::string show_json(const ShowOptions& options, const model::SavedPast& saved) {
  const model::PastIdentity& id = saved.identity;
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-past-show/1");
  json.member("past_file", options.past_file);
  json.member("model", saved.model);
  json.member("config", config_of(saved));
  json.member("weights", id.weights);
  json.member("format", id.format);
  json.member("past_dtype", id.past_dtype);
  json.member("tokenizer", id.tokenizer);
  json.member("backend", id.backend);
  json.member("numerics", id.numerics);
  json.member("operations", id.operations);
  json.member("layers", saved.shape.layers);
  json.member("kv_heads", saved.shape.kv_heads);
  json.member("head_dim", saved.shape.head_dim);
  json.member("blocks", saved.block_count());
  json.member("block_tokens", kernels::kBlockTokens);
  if (!saved.snapshots.empty()) {
    json.member("states", saved.states);
    json.member("state_bytes", saved.state_data.size() / saved.snapshots.size());
    json.member("snapshots", saved.snapshots);
  }
  json.member("bytes", saved.file_bytes());
  json.member("tokens", saved.ids.size());
  json.member("ids", saved.ids);
  json.close_object();
  return json.text() + "\n";
}

int run_show(const ShowOptions& options) {
  const model::SavedPast saved = model::open_past(options.past_file);
  model::verify_blocks(saved, std::ssize(saved.ids));
  options.output.write(options.output.is(Form::json) ? show_json(options, saved) : show_text(options, saved));
  return holds;
}

Command save_command() {
  auto o = std::make_shared<SaveOptions>();
  Command command{.name = "save",
                  .help = "Feed a text and write its past to a file",
                  .notes = "A past can be turned back into its text: keep the file as you would keep the text.",
                  .examples = {"pkv past save tiny-gpt2 --text \"I like to eat\" --past-file eat.safetensors",
                               "pkv past save tiny-mpt --text-file story.txt --load-in nf4 --past-file "
                               "story.safetensors"},
                  .run = [o] { return run_save(*o); }};
  command.add(model_word(o->model, "a model folder or a bundled model"));
  o->prompt.declare(command, {.text_help = "the text; -: stdin (default: what is piped in)", .prompt = true});
  command.add({{.name = "--past-file",
                .target = &o->past_file,
                .help = "the file to write, readable by its owner only",
                .required = true},
               beyond_context(o->beyond_context)});
  o->engine.declare(command);
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

Command show_command() {
  auto o = std::make_shared<ShowOptions>();
  Command command{.name = "show",
                  .help = "What is in the file of a past; verifies its checksums",
                  .examples = {"pkv past show eat.safetensors --output json"},
                  .run = [o] { return run_show(*o); }};
  command.add({.name = "PAST", .target = &o->past_file, .help = "a file that `pkv past save` wrote", .required = true});
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace

Command past_command() {
  return {.name = "past",
          .help = "Save a text's past to a file, show such a file",
          .notes = "A past that was saved is gone on from with --past-file, in generate and logits.",
          .examples = {"pkv past save tiny-gpt2 --text \"I like to eat\" --past-file eat.safetensors",
                       "pkv past show eat.safetensors"},
          .commands = {save_command(), show_command()}};
}

}  // namespace pkv::program
