// pkv bench: what does a past gain? Times generation and the reuse of a prefix with and without it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "checker/measure/measure.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "program.h"
#include "show/environment.h"
#include "stop.h"
#include "subjects/engine.h"
#include "subjects/machine.h"

namespace pkv::program {
namespace {

constexpr int kMost = 1 << 24;  // tokens, repetitions

struct BenchOptions {
  std::string model, isa, svg, past_dir;
  measure::Options plan;
  std::optional<std::vector<std::int64_t>> prefixes;
  bool beyond_context = false;
  EngineOptions engine;
  OutputOptions output;
};

// 1, 4, 16, ... and the longest prompt, or what the context has room for beside the token after it.
std::vector<std::int64_t> default_prefixes(const std::vector<std::int64_t>& prompts, std::int64_t room) {
  const std::int64_t longest = prompts.empty() ? 0 : *std::max_element(prompts.begin(), prompts.end());
  const std::int64_t last = std::min(longest, room);
  std::vector<std::int64_t> all;
  for (std::int64_t n = 1; n < last; n *= 4) all.push_back(n);
  if (last > 0) all.push_back(last);
  return all;
}

// What the ids are changes neither the work nor the law.
std::vector<std::int32_t> random_text(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(
        static_cast<std::int32_t>(random_bits(1, static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(vocab)));
  }
  return ids;
}

measure::Options plan_of(const BenchOptions& options, const model::Card& card) {
  measure::Options plan = options.plan;
  const bool limited = card.context_is_hard || !options.beyond_context;
  const std::int64_t room = limited ? card.context - 1 : std::numeric_limits<std::int64_t>::max();
  plan.prefix_tokens = options.prefixes.value_or(default_prefixes(plan.prompt_tokens, room));
  std::erase(plan.prefix_tokens, 0);
  std::ranges::sort(plan.prefix_tokens);
  plan.prefix_tokens.erase(std::ranges::unique(plan.prefix_tokens).begin(), plan.prefix_tokens.end());
  return plan;
}

std::string render(const measure::Result& result, const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return measure::report_json(result);
    case Format::csv:
      return show::as_csv(measure::document(result));
    case Format::md:
      return show::as_markdown(measure::document(result));
    case Format::html:
      return show::as_html(
          measure::document(result, show::environment("pkv " PKV_VERSION), show::shell_command(show::started_with())));
    case Format::junit:
    case Format::table:
      break;
  }
  return show::as_text(measure::document(result), output.colour());
}

measure::Result measured(const BenchOptions& options, model::Model model, const std::string& name) {
  try {
    const OrderlyStop stop;
    subjects::EngineSubject engine(std::move(model), name,
                                   {.beyond_context = options.beyond_context,
                                    .scratch = options.past_dir,
                                    .threads = options.engine.threads,
                                    .hashing = stop.looking({})});
    subjects::ThisMachine machine(options.engine.threads);
    const model::Card& card = engine.model().card();
    measure::Options plan = plan_of(options, card);
    plan.progress = stop.looking(progress_bar(name));
    return measure::run(engine, {&engine, &machine}, random_text(measure::text_needed(plan), card.vocab), plan);
  } catch (const StopAsked&) {  // the folder of saved pasts is gone
    end_stopped("stopped: nothing was measured to its end");
    throw;
  }
}

void draw(const measure::Result& result, const std::string& path) {
  if (path.empty()) return;
  const std::string picture = measure::report_svg(result);
  if (picture.empty())
    return note(fmt::format("no generation of two tokens or more to draw: {} is left as it was", path));
  write_file(path, picture);
}

int run(const BenchOptions& options) {
  if (!options.isa.empty()) kernels::cpu::choose_instruction_set(options.isa, "--isa");
  for (const std::string& path : {options.output.file, options.svg}) require_writable(path);
  const std::filesystem::path folder = find_model(options.model);
  const measure::Result result = measured(options, load_model(folder, options.engine), display_name(folder));
  options.output.write(render(result, options.output));
  draw(result, options.svg);
  return result.holds() ? holds : does_not_hold;
}

void add_lengths(CLI::App& command, BenchOptions& options) {
  const auto list = [&](const char* name, std::vector<std::int64_t>& values, const char* what, int least) {
    command.add_option(name, values, what)->delimiter(',')->allow_extra_args(false)->check(CLI::Range(least, kMost));
  };
  command.add_option("--new-tokens", options.plan.new_tokens, "tokens to generate (0: only the reuse of prefixes)")
      ->check(CLI::Range(0, kMost))
      ->capture_default_str();
  list("--prompt-tokens", options.plan.prompt_tokens, "lengths of the prompt (default: 16,128,512)", 1);
  list("--depth", options.plan.depths, "tokens before the prompt whose past is there already (default: 0)", 0);
  const auto set = [&options](const std::vector<std::int64_t>& given) { options.prefixes = given; };
  command
      .add_option_function<std::vector<std::int64_t>>(
          "--prefix-tokens", set, "lengths of a prefix to reuse (default: 1,4,16,... to the longest prompt; 0: none)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0, kMost));
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "How much faster is generation with the past?");
  command->add_option("MODEL", options->model, "a model folder or a bundled model")->required();
  add_lengths(*command, *options);
  command->add_option("--repetitions", options->plan.repetitions, "timed rounds of all variants in turn")
      ->check(CLI::Range(1, kMost))
      ->capture_default_str();
  command->add_option("--warmup", options->plan.warmup, "untimed rounds before them; at least 1 is made")
      ->check(at_least(0))
      ->capture_default_str();
  command
      ->add_option("--max-time", options->plan.seconds,
                   "seconds for each prompt's runs without past: where all its tokens take longer, some are timed "
                   "(0: no limit)")
      ->check(at_least(0))
      ->capture_default_str();
  command->add_flag("--beyond-context", options->beyond_context,
                    "allow a text longer than an ALiBi or rotary model was trained for");
  command->add_option("--isa", options->isa, "instruction set: SSE4, AVX2, AVX3, ... (default: the best there is)");
  options->engine.add(*command);
  options->output.add(*command, {"table", "json", "csv", "md", "html"});
  command
      ->add_option("--past-dir", options->past_dir,
                   "where pasts are saved for the time of the run: the disk to measure (default: the system's folder "
                   "for temporary files)")
      ->check(CLI::ExistingDirectory);
  command->add_option("--svg", options->svg, "draw the longest generation into this file as well");
  command->footer(
      "\nThe logits of every variant must be the same bit for bit; exit code 1 where they\n"
      "are not. Prompts are random ids, and end-of-text tokens do not end a text.\n"
      "\nExamples:\n"
      "  pkv bench tiny-gpt2\n"
      "  pkv bench ./my-model --load-in nf4 --prompt-tokens 128 --output md\n"
      "  pkv bench ./my-model --new-tokens 1000 --prompt-tokens 16 --svg gain.svg\n"
      "  pkv bench ./my-model --new-tokens 0 --prefix-tokens 512,2048\n"
      "  pkv bench ./my-model --depth 0,1024 --output html --output-file bench.html\n");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace pkv::program
