// pkv generate: a model writes on.
#include "engine/generate/generate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <random>

#include "base/error.h"
#include "base/utf8.h"
#include "commands/commands.h"
#include "commands/generate/writer.h"
#include "engine/generate/defaults.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "models/restore.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/saved_past.h"
#include "options/shared.h"
#include "options/text.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

struct GenerateOptions {
  std::string model;
  TextOptions prompt;
  bool no_past = false, no_generation_config = false, ignore_eos = false, beyond_context = false;
  bool do_sample = false, greedy = false;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int64_t> max_new_tokens, top_k, num_sequences;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
  EngineOptions engine;
  SavedPastOptions past;
  OutputOptions output;
};

// Texts need one, ids do not: where it cannot be used, they are written as they are.
std::optional<text::Tokenizer> find_tokenizer(const std::filesystem::path& folder, bool text_given) {
  if (text_given) return load_tokenizer(folder);
  try {
    return load_tokenizer(folder);
  } catch (const Error& error) {
    note("ids are written, not text: " + in_one_line(error));
    return std::nullopt;
  }
}

struct Prompt {
  std::optional<std::string> text;  // none: no tokenizer
  std::vector<std::int32_t> ids;
};

// Without a prompt, the saved text is written on.
std::vector<std::int32_t> saved_ids(const SavedPastOptions& past) {
  if (!past.ignore_unfit) return model::open_past(past.file).ids;
  fail_usage({.what = "there is nothing to go on with when the saved past does not fit",
              .where = "--ignore-unfit-past",
              .expected = "--text, --text-file or --ids"});
}

// As transformers' pipeline: a prompt without tokens becomes the token that begins a text.
Prompt prompt_of(const GenerateOptions& o, const std::optional<std::string>& text, bool from_past,
                 const std::optional<text::Tokenizer>& tokenizer, const generate::Defaults& defaults) {
  Prompt prompt;
  if (o.prompt.ids || from_past) {
    prompt.ids = o.prompt.ids ? o.prompt.read_ids() : saved_ids(o.past);
    if (tokenizer) prompt.text = tokenizer->decode(prompt.ids, true);
  } else {
    prompt.text = text.value_or(std::string(kArticleText));
    prompt.ids = tokenizer->encode(*prompt.text, !o.prompt.no_special_tokens);
  }
  if (prompt.ids.empty() && defaults.bos_token_id) prompt.ids = {*defaults.bos_token_id};
  if (!prompt.ids.empty()) return prompt;
  fail_usage({.what = "the prompt has no tokens, and this model has none to begin a text with",
              .expected = fmt::format("a prompt, or bos_token_id in {}", defaults.file)});
}

// Options that speak of drawing mean that tokens are drawn.
bool asks_to_draw(const GenerateOptions& o) {
  return o.do_sample || (o.temperature && *o.temperature != 0) || o.top_k || o.top_p || o.min_p || o.seed;
}

// What the command line decides, so that the model's files are not held to it.
generate::Given given_by(const GenerateOptions& o) {
  generate::Given given{.settings = !o.no_generation_config,
                        .temperature = o.temperature.has_value(),
                        .top_k = o.top_k.has_value(),
                        .top_p = o.top_p.has_value(),
                        .min_p = o.min_p.has_value(),
                        .repetition_penalty = o.repetition_penalty.has_value(),
                        .max_new_tokens = o.max_new_tokens.has_value(),
                        .num_sequences = o.num_sequences.has_value(),
                        .stop = !o.stop.empty(),
                        .ignore_eos = o.ignore_eos};
  if (o.greedy || o.temperature == 0) given.do_sample = false;
  if (asks_to_draw(o)) given.do_sample = true;
  return given;
}

// What the command line says wins over the model's files.
void sampling_of(const GenerateOptions& o, generate::Sampling& s) {
  const bool asked = asks_to_draw(o), greedy = o.greedy || o.temperature == 0;
  if (asked && greedy) {
    fail_usage({.what = "what makes a choice random has no meaning when the best token is always taken",
                .expected =
                    "--greedy or --temperature 0; or else --do-sample, --temperature, --top-k, --top-p, --min-p, "
                    "--seed"});
  }
  s.do_sample = !greedy && (s.do_sample || asked);
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
  if (!o.num_sequences && options.num_sequences > 1 && !options.sampling.do_sample) {
    note(fmt::format("{}: num_return_sequences {}: without sampling all are the same, and one is written",
                     defaults.file, options.num_sequences));
    options.num_sequences = 1;
  }
  if (o.max_new_tokens) {
    options.max_new_tokens = *o.max_new_tokens;
  } else {
    const auto tokens = generate::default_new_tokens(defaults, card, static_cast<std::int64_t>(prompt));
    if (!tokens.note.empty()) note(tokens.note);
    options.max_new_tokens = tokens.count;
  }
  options.use_past = !o.no_past;
  options.log_probabilities = options.logits_hash = o.output.is(Form::json);
  options.beyond_context = o.beyond_context;
  return options;
}

// A stop text that is a special token, which is not shown, ends a text by its id.
std::vector<std::string> stop_texts(const GenerateOptions& o, const generate::Defaults& defaults,
                                    const std::optional<text::Tokenizer>& tokenizer, std::vector<std::int32_t>& eos) {
  std::vector<std::string> texts;
  const std::string where = o.stop.empty() ? defaults.file + ": stop_strings" : "--stop";
  for (const std::string& stop : o.stop.empty() ? defaults.stop_strings : o.stop) {
    if (stop.empty()) fail_usage({.what = "an empty stop text would stop at once", .where = where});
    if (first_invalid_utf8(stop)) fail_usage({.what = "a stop text is not UTF-8", .where = where});
    if (!tokenizer) {
      fail_usage({.what = "a stop text cannot be looked for without a tokenizer",
                  .where = where,
                  .hint = o.stop.empty() ? "--no-generation-config" : "no --stop"});
    }
    const auto id = tokenizer->id(stop);
    if (id && tokenizer->is_special(*id)) {
      eos.push_back(*id);
    } else {
      texts.push_back(stop);
    }
  }
  return texts;
}

// What the model's files decided and nobody on the command line asked for.
void note_settings(const GenerateOptions& o, const generate::Defaults& defaults, const generate::Sampling& used) {
  const generate::Sampling& file = defaults.options.sampling;
  const generate::Sampling usual;
  std::vector<std::string> said;
  const auto say = [&](bool given, std::string_view name, auto value, auto otherwise) {
    if (!given && value != otherwise) said.push_back(fmt::format("{} {:g}", name, static_cast<double>(value)));
  };
  if (used.do_sample) {
    if (file.do_sample && !asks_to_draw(o)) said.emplace_back("do_sample");
    say(o.temperature.has_value(), "temperature", file.temperature, usual.temperature);
    say(o.top_k.has_value(), "top_k", file.top_k, usual.top_k);
    say(o.top_p.has_value(), "top_p", file.top_p, usual.top_p);
    say(o.min_p.has_value(), "min_p", file.min_p, usual.min_p);
  }
  say(o.repetition_penalty.has_value(), "repetition_penalty", file.repetition_penalty, usual.repetition_penalty);
  if (!said.empty()) note(fmt::format("{}: {}", defaults.file, fmt::join(said, ", ")));
}

// Before a model is fetched and opened.
void require_sense(const GenerateOptions& o) {
  generate::Sampling as_asked;
  sampling_of(o, as_asked);
  o.engine.load_options();
}

int run(const GenerateOptions& o) {
  require_sense(o);
  const std::filesystem::path folder = find_model(o.model);
  const std::optional<std::string> text = o.prompt.read();
  const bool from_past = !o.past.file.empty() && !text && !o.prompt.ids;
  const std::optional<text::Tokenizer> tokenizer = find_tokenizer(folder, !o.prompt.ids && !from_past);
  if (text && tokenizer && tokenizer->has_chat_template()) {
    note("the tokenizer has a chat template, which is not applied: the text goes to the model as it is");
  }
  constexpr std::int64_t kMany = 64;  // tokens, from where on copying has cost less than it gains
  EngineOptions engine = o.engine;
  engine.reads_often = o.max_new_tokens.value_or(0) >= kMany;
  const model::Model model = load_model(folder, engine);
  const generate::Defaults defaults = generate::defaults_of(model, given_by(o));
  for (const std::string& line : defaults.notes) note(line);
  const Prompt prompt = prompt_of(o, text, from_past, tokenizer, defaults);
  if (tokenizer && !o.prompt.ids) require_in_vocabulary(prompt.ids, *tokenizer, model.card().vocab);
  generate::require_done(defaults, std::ssize(prompt.ids));
  std::optional<model::Restored> restored;
  if (!o.past.file.empty()) restored = restore(o.past, model, prompt.ids, o.engine.threads);
  generate::Options options = options_of(o, defaults, model.card(), prompt.ids.size());
  note_settings(o, defaults, options.sampling);
  Writing writing{.prompt = prompt.text, .ids = prompt.ids};
  writing.stop = stop_texts(o, defaults, tokenizer, options.eos_token_id);
  writing.options = options;
  writing.saved_tokens = restored ? restored->saved : 0;
  Writer writer(tokenizer ? &*tokenizer : nullptr, writing, o.output);
  const OrderlyStop stop;
  const generate::Events events{.token = [&](const generate::Token& t) { return writer.add(t); },
                                .prompt = progress_bar("prompt"),
                                .interrupted = &stop.asked()};
  const generate::Result result = restored ? generate::run(model, restored->past, prompt.ids, options, events)
                                           : generate::run(model, prompt.ids, options, events);
  writer.finish(model, hf::display_name(folder), result);
  return result.interrupted ? stop.exit_code() : static_cast<int>(holds);
}

void declare_draws(Command& command, GenerateOptions& o) {
  command.add(
      {{.name = "--do-sample", .target = &o.do_sample, .help = "draw tokens (default: as the model's files say)"},
       {.name = "--greedy",
        .target = &o.greedy,
        .help = "always take the best token, whatever they say",
        .excludes = {"--do-sample"}},
       {.name = "--temperature",
        .target = &o.temperature,
        .help = "divides the scores; means --do-sample; 0: --greedy"},
       {.name = "--top-k",
        .target = &o.top_k,
        .help = "draw from the K best only (default when drawing: 50; 0: from all); means --do-sample"},
       {.name = "--top-p",
        .target = &o.top_p,
        .help = "draw from the best that make up this probability; means --do-sample"},
       {.name = "--min-p",
        .target = &o.min_p,
        .help = "draw from those with this share of the best one's probability; means --do-sample"},
       {.name = "--repetition-penalty",
        .target = &o.repetition_penalty,
        .help = "above 1: tokens that are in the text already, the prompt's too, become less likely"},
       {.name = "--seed",
        .target = &o.seed,
        .help = "the same draws again (default: another each time; it is shown); means --do-sample",
        .check = at_least(0)},
       {.name = "--num-sequences",
        .target = &o.num_sequences,
        .help = "how many texts to draw for the same prompt",
        .check = within(1, generate::kMostSequences)}});
}

void declare_end(Command& command, GenerateOptions& o) {
  command.add({{.name = "--new-tokens",
                .also = "--max-new-tokens",
                .target = &o.max_new_tokens,
                .help = "tokens to write (default: as the model says, or 20)",
                .check = at_least(1)},
               {.name = "--stop", .target = &o.stop, .help = "end before this text; may be given several times"},
               {.name = "--ignore-eos", .target = &o.ignore_eos, .help = "write on after end-of-text tokens"},
               {.name = "--no-past",
                .target = &o.no_past,
                .help = "compute every token from the whole text: the same text, slower"}});
}

}  // namespace

Command generate_command() {
  auto o = std::make_shared<GenerateOptions>();
  Command command{
      .name = "generate",
      .help = "Write on after a prompt",
      .notes = "Ctrl-C or SIGTERM ends the text where it is; the exit code is then 130 or 143.",
      .examples = {"pkv generate tiny-gpt2 --text \"My friend likes\" --new-tokens 100",
                   "pkv generate tiny-falcon --temperature 0.8 --top-p 0.95 --seed 1 --num-sequences 3",
                   "pkv generate tiny-mpt --stop \".\" < story.txt", "pkv generate tiny-gpt2 --no-past --output json",
                   "pkv generate tiny-gpt2 --past-file eat.safetensors"},
      .run = [o] { return run(*o); }};
  command.add(model_word(o->model, "a model folder or a bundled model"));
  o->prompt.declare(command,
                    {.text_help = "the text to continue; -: stdin (default: what is piped in, else \"I like to "
                                  "eat\")",
                     .ids_help = "token ids: 1,2,3; -: stdin; needs no tokenizer",
                     .prompt = true});
  declare_end(command, *o);
  declare_draws(command, *o);
  command.add({{.name = "--no-generation-config",
                .target = &o->no_generation_config,
                .help = "use nothing of generation_config.json but the end-of-text tokens"},
               beyond_context(o->beyond_context)});
  o->past.declare(command, {"--no-past"});
  o->engine.declare(command);
  o->output.declare(command, {Form::text, Form::json});
  return command;
}

}  // namespace pkv::program
