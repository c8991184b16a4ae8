// pkv past: a text's past in a file, for later runs to continue from.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "program.h"
#include "show/dumped.h"
#include "stop.h"

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
  const std::size_t n = saved.checksums.size();
  return fmt::format("{} {} of {} tokens", n, n == 1 ? "block" : "blocks", kernels::kBlockTokens);
}

int run_save(const SaveOptions& options) {
  if (!options.prompt.text && !options.prompt.file && !options.prompt.ids) {
    fail_usage({.what = "no text to save the past of", .expected = "--prompt, --prompt-file or --ids"});
  }
  const std::filesystem::path folder = find_model(options.model);
  const model::Model model = load_model(folder, options.engine);
  model::require_savable(model);
  const Input input = read_input(options.prompt, folder);
  require_context(model.card(), std::ssize(input.ids), options.beyond_context);
  save(options, model, input.ids);
  const model::SavedPast saved = model::open_past(options.past_file);
  if (options.output.format == Format::json) {
    const nlohmann::ordered_json j{{"schema", "pkv-past-save/1"},      {"model", saved.model},
                                   {"past_file", options.past_file},   {"tokens", saved.ids.size()},
                                   {"blocks", saved.checksums.size()}, {"bytes", saved.file_bytes()}};
    options.output.write(show::dumped(j));
  } else {
    options.output.write(fmt::format("{}: {} tokens of {}, {}\n", options.past_file, saved.ids.size(), saved.model,
                                     megabytes(saved.file_bytes())));
  }
  return holds;
}

std::string family_of(const model::SavedPast& saved) {
  const auto config = nlohmann::json::parse(saved.identity.config, nullptr, false);
  const auto type = config.is_object() ? config.find("model_type") : config.end();
  return config.is_object() && type != config.end() && type->is_string() ? type->get<std::string>() : "unknown";
}

// The first ids and the last, as many as fit a line.
std::string ids_text(const std::vector<std::int32_t>& ids) {
  constexpr std::size_t kEnds = 4;
  if (ids.size() <= 2 * kEnds) return fmt::format("{}", fmt::join(ids, " "));
  return fmt::format("{} ... {}", fmt::join(ids.begin(), ids.begin() + kEnds, " "),
                     fmt::join(ids.end() - kEnds, ids.end(), " "));
}

std::string show_text(const ShowOptions& options, const model::SavedPast& saved) {
  std::string s;
  const auto line = [&s](std::string_view name, const std::string& value) {
    s += fmt::format("{:<15}{}\n", name, value);
  };
  line("past", options.past_file);
  line("model", fmt::format("{}, model_type {}", saved.model, family_of(saved)));
  line("tokens", std::to_string(saved.ids.size()));
  line("ids", ids_text(saved.ids));
  line("layers", fmt::format("{}, keys and values for {} heads of size {}, {}", saved.shape.layers,
                             saved.shape.kv_heads, saved.shape.head_dim, saved.identity.past_dtype));
  line("size", fmt::format("{}, {}", megabytes(saved.file_bytes()), blocks_text(saved)));
  line("checksums", "right");
  line("weights", saved.identity.format);
  line("", saved.identity.weights);
  line("tokenizer", saved.identity.tokenizer);
  line("backend", fmt::format("{}, arithmetic {}", saved.identity.backend,
                              saved.identity.numerics.substr(0, saved.identity.numerics.find(','))));
  return s;
}

std::string show_json(const ShowOptions& options, const model::SavedPast& saved) {
  const model::PastIdentity& id = saved.identity;
  const nlohmann::ordered_json j{{"schema", "pkv-past-show/1"},
                                 {"past_file", options.past_file},
                                 {"model", saved.model},
                                 {"config", nlohmann::json::parse(id.config, nullptr, false)},
                                 {"weights", id.weights},
                                 {"format", id.format},
                                 {"past_dtype", id.past_dtype},
                                 {"tokenizer", id.tokenizer},
                                 {"backend", id.backend},
                                 {"numerics", id.numerics},
                                 {"layers", saved.shape.layers},
                                 {"kv_heads", saved.shape.kv_heads},
                                 {"head_dim", saved.shape.head_dim},
                                 {"blocks", saved.checksums.size()},
                                 {"block_tokens", kernels::kBlockTokens},
                                 {"bytes", saved.file_bytes()},
                                 {"tokens", saved.ids.size()},
                                 {"ids", saved.ids}};
  return show::dumped(j);
}

int run_show(const ShowOptions& options) {
  const model::SavedPast saved = model::open_past(options.past_file);
  model::verify_blocks(saved, std::ssize(saved.ids));
  options.output.write(options.output.format == Format::json ? show_json(options, saved) : show_text(options, saved));
  return holds;
}

void add_save(CLI::App& past, Action& action) {
  auto options = std::make_shared<SaveOptions>();
  CLI::App* command = past.add_subcommand("save", "Feed a text and write its past to a file");
  command->add_option("MODEL", options->model, "a model folder or a bundled model")->required();
  auto* text = command->add_option("--prompt", options->prompt.text, "the text");
  auto* file = command->add_option("--prompt-file", options->prompt.file, "a file with it, taken as it is; -: stdin");
  file->excludes(text);
  command->add_option("--ids", options->prompt.ids, "token ids: 1,2,3")->excludes(text)->excludes(file);
  command->add_flag("--no-special-tokens", options->prompt.no_special_tokens, kNoSpecialTokens);
  command->add_option("--past-file", options->past_file, "the file to write, readable by its owner only")->required();
  command->add_flag("--beyond-context", options->beyond_context,
                    "allow a text longer than an ALiBi or rotary model was trained for");
  options->engine.add(*command);
  options->output.add(*command, {"table", "json"});
  command->footer(
      "\nA past can be turned back into its text: keep the file as you would keep the text.\n"
      "\nExamples:\n"
      "  pkv past save tiny-gpt2 --prompt \"I like to eat\" --past-file eat.safetensors\n"
      "  pkv past save tiny-mpt --prompt-file story.txt --load-in nf4 --past-file story.safetensors\n");
  command->callback([options, &action] { action = [options] { return run_save(*options); }; });
}

void add_show(CLI::App& past, Action& action) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = past.add_subcommand("show", "What is in the file of a past; verifies its checksums");
  command->add_option("PAST", options->past_file, "a file that `pkv past save` wrote")->required();
  options->output.add(*command, {"table", "json"});
  command->footer("\nExample:\n  pkv past show eat.safetensors --output json\n");
  command->callback([options, &action] { action = [options] { return run_show(*options); }; });
}

}  // namespace

void add_past(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("past", "Save a text's past to a file, show such a file");
  command->require_subcommand(1);
  add_save(*command, action);
  add_show(*command, action);
}

}  // namespace pkv::program
