// pkv generate: a model writes on.
#include "generate/generate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <csignal>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "generate/defaults.h"
#include "program.h"
#include "writing/writing.h"

namespace pkv::program {
namespace {

constexpr std::uint64_t kMaxPrompt = 256 << 20;

struct GenerateOptions {
  std::string model;
  std::optional<std::string> prompt, prompt_file;
  bool no_special_tokens = false, no_past = false, no_generation_config = false, ignore_eos = false,
       beyond_context = false;
  bool do_sample = false, greedy = false;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int64_t> max_new_tokens, top_k, num_sequences;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
  EngineOptions engine;
  SavedPastOptions past;
  OutputOptions output;
};

std::string read_prompt(const GenerateOptions& options) {
  if (options.prompt_file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  if (options.prompt_file) return read_file(*options.prompt_file, kMaxPrompt);
  return options.prompt.value_or(std::string(TextOptions::kArticle));
}

// As transformers' pipeline: a prompt without tokens becomes the token that begins a text.
std::vector<std::int32_t> prompt_ids(const GenerateOptions& options, const std::string& prompt,
                                     const text::Tokenizer& tokenizer, const generate::Defaults& defaults) {
  std::vector<std::int32_t> ids = tokenizer.encode(prompt, !options.no_special_tokens);
  if (ids.empty() && defaults.bos_token_id) ids = {*defaults.bos_token_id};
  if (ids.empty()) {
    fail_usage({.what = "the prompt has no tokens, and this model has none to begin a text with",
                .expected = fmt::format("a prompt, or bos_token_id in {}", defaults.file)});
  }
  return ids;
}

// What the command line says wins over the model's files.
void sampling_of(const GenerateOptions& o, generate::Sampling& s) {
  const bool asked = (o.temperature && *o.temperature != 0) || o.top_k || o.top_p || o.min_p || o.seed;
  const bool greedy = o.greedy || o.temperature == 0;
  if (asked && greedy) {
    fail_usage({.what = "what makes a choice random has no meaning when the best token is always taken",
                .expected = "--greedy, or --temperature, --top-k, --top-p, --min-p, --seed"});
  }
  s.do_sample = !greedy && (s.do_sample || asked || o.do_sample);
  if (o.temperature && *o.temperature != 0) s.temperature = *o.temperature;
  s.top_k = o.top_k.value_or(s.top_k);
  s.top_p = o.top_p.value_or(s.top_p);
  s.min_p = o.min_p.value_or(s.min_p);
  s.repetition_penalty = o.repetition_penalty.value_or(s.repetition_penalty);
  s.seed = o.seed ? *o.seed : s.do_sample ? std::random_device{}() : 0;
  generate::require_valid(s);
}

generate::Options options_of(const GenerateOptions& o, const generate::Defaults& defaults, const model::Card& card,
                             std::size_t prompt) {
  generate::Options options = defaults.options;
  sampling_of(o, options.sampling);
  options.num_sequences = o.num_sequences.value_or(options.num_sequences);
  const auto tokens = static_cast<std::int64_t>(prompt);
  options.max_new_tokens = o.max_new_tokens.value_or(generate::default_new_tokens(defaults, card, tokens));
  if (o.ignore_eos) options.eos_token_id.clear();
  options.use_past = !o.no_past;
  options.log_probabilities = options.logits_hash = o.output.format == Format::json;
  options.beyond_context = o.beyond_context;
  return options;
}

// A stop text that is a special token, which is not shown, ends a text by its id.
std::vector<std::string> stop_texts(const GenerateOptions& o, const generate::Defaults& defaults,
                                    const text::Tokenizer& tokenizer, std::vector<std::int32_t>& eos) {
  std::vector<std::string> texts;
  for (const std::string& stop : o.stop.empty() ? defaults.stop_strings : o.stop) {
    if (first_invalid_utf8(stop)) fail_usage({.what = "a stop text is not UTF-8", .where = "--stop"});
    const auto id = tokenizer.id(stop);
    if (id && tokenizer.is_special(*id)) {
      eos.push_back(*id);
    } else {
      texts.push_back(stop);
    }
  }
  return texts;
}

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// The first Ctrl-C ends the text where it is, a second one the program. A shell's background job stays deaf to it.
void catch_interrupt() {
  const auto before = std::signal(SIGINT, [](int) {
    interrupted = true;
    std::signal(SIGINT, SIG_DFL);
  });
  if (before == SIG_IGN) std::signal(SIGINT, SIG_IGN);
}

// What the model's files decided and nobody on the command line asked for.
void note_settings(const generate::Defaults& defaults, const generate::Sampling& s) {
  std::vector<std::string> said;
  if (defaults.options.sampling.do_sample && s.do_sample) {
    said.push_back(fmt::format("drawing with temperature {:g}, top_k {}, top_p {:g}, min_p {:g}", s.temperature,
                               s.top_k, s.top_p, s.min_p));
  }
  if (defaults.options.sampling.repetition_penalty != 1 && s.repetition_penalty != 1) {
    said.push_back(fmt::format("repetition_penalty {:g}", s.repetition_penalty));
  }
  if (!said.empty()) note(fmt::format("{}: {}", defaults.file, fmt::join(said, ", ")));
}

// Without a prompt, the saved text is written on.
std::vector<std::int32_t> saved_prompt(const SavedPastOptions& past) {
  if (!past.ignore_unfit) return model::open_past(past.file).ids;
  fail_usage({.what = "there is nothing to go on with when the saved past does not fit",
              .where = "--ignore-unfit-past",
              .expected = "--prompt or --prompt-file"});
}

int run(const GenerateOptions& o) {
  const std::filesystem::path folder = find_model(o.model);
  const text::Tokenizer tokenizer = load_tokenizer(folder);
  const model::Model model = load_model(folder, o.engine);
  const generate::Defaults defaults = generate::defaults_of(model, !o.no_generation_config);
  const bool from_file = !o.past.file.empty() && !o.prompt && !o.prompt_file;
  std::vector<std::int32_t> ids;
  if (from_file) ids = saved_prompt(o.past);
  const std::string prompt = from_file ? tokenizer.decode(ids, true) : read_prompt(o);
  if (!from_file) ids = prompt_ids(o, prompt, tokenizer, defaults);
  std::optional<model::Restored> restored;
  if (!o.past.file.empty()) restored = o.past.restore(model, ids, o.engine.threads);
  generate::Options options = options_of(o, defaults, model.card(), ids.size());
  note_settings(defaults, options.sampling);
  Writing writing{.prompt = prompt, .ids = ids};
  writing.stop = stop_texts(o, defaults, tokenizer, options.eos_token_id);
  writing.options = options;
  writing.saved_tokens = restored ? restored->saved : 0;
  Writer writer(tokenizer, writing, o.output);
  catch_interrupt();
  const generate::Events events{.token = [&](const generate::Token& t) { return writer.add(t); },
                                .prompt = progress_bar("prompt"),
                                .interrupted = &interrupted};
  const generate::Result result = restored ? generate::run(model, restored->past, ids, options, events)
                                           : generate::run(model, ids, options, events);
  writer.finish(model, display_name(folder), result);
  return result.interrupted ? static_cast<int>(interrupted_by_user) : static_cast<int>(holds);
}

void add_sampling(CLI::App& command, GenerateOptions& o) {
  auto* draw = command.add_flag("--do-sample", o.do_sample, "draw tokens (default: as the model's files say)");
  command.add_flag("--greedy", o.greedy, "always take the best token, whatever they say")->excludes(draw);
  command.add_option("--temperature", o.temperature, "divides the scores; implies --do-sample; 0: --greedy");
  command.add_option("--top-k", o.top_k, "draw from the K best only (default when drawing: 50; 0: from all)");
  command.add_option("--top-p", o.top_p, "draw from the best that make up this probability");
  command.add_option("--min-p", o.min_p, "draw from those with this share of the best one's probability");
  command.add_option("--repetition-penalty", o.repetition_penalty,
                     "above 1: tokens that are in the text already, the prompt's too, become less likely");
  command.add_option("--seed", o.seed, "the same draws again (default: another each time; it is shown)")
      ->check(at_least(0));
  command.add_option("--num-sequences", o.num_sequences, "how many texts to draw for the same prompt");
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto options = std::make_shared<GenerateOptions>();
  GenerateOptions& o = *options;
  CLI::App* command = app.add_subcommand("generate", "Write on after a prompt");
  command->add_option("MODEL", o.model, "a model folder or a bundled model")->required();
  auto* prompt = command->add_option("--prompt", o.prompt, "the text to continue (default: \"I like to eat\")");
  command->add_option("--prompt-file", o.prompt_file, "a file with it, taken as it is; -: stdin")->excludes(prompt);
  command->add_flag("--no-special-tokens", o.no_special_tokens, kNoSpecialTokens);
  command->add_option("--max-new-tokens", o.max_new_tokens, "tokens to write (default: as the model says, or 20)")
      ->check(at_least(1));
  command->add_option("--stop", o.stop, "end before this text; may be given several times")->allow_extra_args(false);
  command->add_flag("--ignore-eos", o.ignore_eos, "write on after end-of-text tokens");
  command->add_flag("--no-past", o.no_past, "compute every token from the whole text: the same text, slower");
  add_sampling(*command, o);
  command->add_flag("--no-generation-config", o.no_generation_config,
                    "use nothing of generation_config.json but the end-of-text tokens");
  command->add_flag("--beyond-context", o.beyond_context,
                    "allow a text longer than an ALiBi or rotary model was trained for");
  o.past.add(*command);
  command->get_option("--past-file")->excludes("--no-past");
  o.engine.add(*command);
  o.output.add(*command, {"text", "json"});
  command->footer(
      "\nCtrl-C ends the text where it is; the exit code is then 130.\n"
      "\nExamples:\n"
      "  pkv generate tiny-gpt2 --prompt \"My friend likes\" --max-new-tokens 100\n"
      "  pkv generate tiny-falcon --temperature 0.8 --top-p 0.95 --seed 1 --num-sequences 3\n"
      "  pkv generate tiny-mpt --prompt-file - --stop \".\" < story.txt\n"
      "  pkv generate tiny-gpt2 --no-past --output json\n"
      "  pkv generate tiny-gpt2 --past-file eat.safetensors\n");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace pkv::program
