// pkv bench: what does a past gain? Times generation and the reuse of a prefix with and without it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "checker/measure/measure.h"
#include "checker/served/timing.h"
#include "commands/commands.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/server.h"
#include "options/shared.h"
#include "options/text.h"
#include "servers/servers.h"
#include "show/environment.h"
#include "subjects/engine.h"
#include "subjects/machine.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

constexpr int kMost = 1 << 24;  // tokens, repetitions

struct BenchOptions {
  std::string model, isa, svg, past_dir;
  measure::Options plan;
  std::optional<std::vector<std::int64_t>> prefixes;
  bool beyond_context = false, lengths_given = false;
  EngineOptions engine;
  ServerAddress server;
  std::optional<std::string> text_file;
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
  const auto repeated = std::unique(plan.prefix_tokens.begin(), plan.prefix_tokens.end());
  plan.prefix_tokens.erase(repeated, plan.prefix_tokens.end());
  return plan;
}

std::string html_of(const measure::Result& result, const show::Terminal&) {
  return show::as_html(
      measure::document(result, show::environment("pkv " PKV_VERSION), show::shell_command(show::started_with())));
}

constexpr Telling<measure::Result> kBenchForms[] = {
    {Form::table,
     [](const measure::Result& r, const show::Terminal& t) { return show::as_text(measure::document(r), t); }},
    {Form::json, [](const measure::Result& r, const show::Terminal&) { return measure::report_json(r); }},
    {Form::csv, [](const measure::Result& r, const show::Terminal&) { return show::as_csv(measure::document(r)); }},
    {Form::md, [](const measure::Result& r, const show::Terminal&) { return show::as_markdown(measure::document(r)); }},
    {Form::html, html_of}};

measure::Result measured(const BenchOptions& options, model::Model model, const std::string& name) {
  try {
    const OrderlyStop stop;
    subjects::EngineSubject engine(std::move(model), name,
                                   {.beyond_context = options.beyond_context,
                                    .scratch = options.past_dir,
                                    .threads = options.engine.threads,
                                    .hashing = stop.looking({})});
    subjects::ThisMachine machine(engine.model().backend());
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

constexpr Telling<served::Timing> kServerForms[] = {
    {Form::table,
     [](const served::Timing& r, const show::Terminal& t) { return show::as_text(served::document(r), t); }},
    {Form::json, [](const served::Timing& r, const show::Terminal&) { return served::report_json(r); }},
    {Form::csv, [](const served::Timing& r, const show::Terminal&) { return show::as_csv(served::document(r)); }},
    {Form::md, [](const served::Timing& r, const show::Terminal&) { return show::as_markdown(served::document(r)); }},
    {Form::html, [](const served::Timing& r, const show::Terminal&) { return show::as_html(served::document(r)); }}};

int run_server(const BenchOptions& options) {
  const OrderlyStop stop;
  served::TimingOptions task{.text = options.text_file ? read_text(*options.text_file) : std::string(kServerPrompt),
                             .repetitions = options.plan.repetitions,
                             .most_requests = options.server.most_requests,
                             .mark = mark_of_this_run()};
  if (options.lengths_given) task.prompt_tokens = options.plan.prompt_tokens;
  if (options.prefixes) task.prefixes = *options.prefixes;
  try {
    const auto server = servers::connect(options.server.endpoint(stop.asked()));
    task.before = [&](std::int64_t requests, std::int64_t longest) {
      tell_requests(fmt::format("{} at {}", server->about().api, server->about().url), requests, longest);
    };
    task.progress = progress_bar(server->about().url);
    served::Timing timing = served::time_first_tokens(*server, task);
    timing.environment = show::environment("pkv " PKV_VERSION);
    timing.command = command_line(timing.about.url);
    options.output.write(options.output.told(timing, kServerForms), served::headline(timing));
    return timing.holds() ? holds : does_not_hold;
  } catch (const servers::Stopped&) {
    clear_progress();
    end_stopped("stopped: no request is left running");
    throw;
  }
}

// A server computes as it was started, and a model is asked by no address.
void require_one_subject(BenchOptions& options, std::span<const std::string_view> given) {
  const bool server = !options.server.url.empty();
  options.lengths_given = std::ranges::find(given, "--prompt-tokens") != given.end();
  if (server == !options.model.empty()) {
    fail_usage({.what = server ? "only one can be timed at a time" : "nothing to time",
                .where = "pkv bench",
                .expected = "a MODEL, or --server with an address",
                .hint = "pkv bench tiny-gpt2"});
  }
  constexpr std::string_view of_a_server[] = {"--prompt-tokens", "--prefix-tokens", "--repetitions", "--text-file"};
  for (const std::string_view name : given) {
    const bool known = ServerAddress::takes(name) || name.starts_with("--output") ||
                       std::ranges::find(of_a_server, name) != std::end(of_a_server);
    if (server && !known) {
      fail_usage({.what = "means nothing for a server, which computes as it was started",
                  .where = std::string(name),
                  .expected = "--server without it"});
    }
  }
}

int run(const BenchOptions& options) {
  if (!options.server.url.empty()) return run_server(options);
  if (!options.isa.empty()) kernels::cpu::choose_instruction_set(options.isa, "--isa");
  require_writable(options.svg);
  const std::filesystem::path folder = find_model(options.model);
  EngineOptions engine = options.engine;
  engine.reads_often = true;
  const measure::Result result = measured(options, load_model(folder, engine), hf::display_name(folder));
  options.output.write(options.output.told(result, kBenchForms),
                       result.holds() ? "the same bits with and without the past" : "the past changes the answer");
  draw(result, options.svg);
  return result.holds() ? holds : does_not_hold;
}

// Of tokens: lengths of which several may be given, or how many to generate.
void declare_lengths(Command& command, BenchOptions& o) {
  command.add({{.name = "--new-tokens",
                .target = &o.plan.new_tokens,
                .help = "tokens to generate (0: only the reuse of prefixes)",
                .check = within(0, kMost),
                .shows_default = true},
               {.name = "--prompt-tokens",
                .target = &o.plan.prompt_tokens,
                .help = "lengths of the prompt (default: 16,128,512)",
                .check = within(1, kMost),
                .commas = true},
               {.name = "--depth",
                .target = &o.plan.depths,
                .help = "tokens before the prompt whose past is there already (default: 0)",
                .check = within(0, kMost),
                .commas = true},
               {.name = "--prefix-tokens",
                .target = &o.prefixes,
                .help = "lengths of a prefix to reuse (default: 1,4,16,... to the longest prompt; 0: none)",
                .check = within(0, kMost),
                .commas = true}});
}

void declare_rounds(Command& command, measure::Options& plan) {
  command.add({{.name = "--repetitions",
                .target = &plan.repetitions,
                .help = "timed rounds of all variants in turn",
                .check = within(1, kMost),
                .shows_default = true},
               {.name = "--warmup",
                .target = &plan.warmup,
                .help = "untimed rounds before them; at least 1 is made",
                .check = at_least(0),
                .shows_default = true},
               {.name = "--max-time",
                .target = &plan.seconds,
                .help = "seconds for each prompt's runs without past: where all its tokens take longer, some are "
                        "timed (0: no limit)",
                .check = at_least(0),
                .shows_default = true}});
}

}  // namespace

Command bench_command() {
  auto o = std::make_shared<BenchOptions>();
  Command command{
      .name = "bench",
      .help = "How much faster is generation with the past?",
      .notes =
          "The logits of every variant must be the same bit for bit; exit code 1 where they\n"
          "are not. Prompts are random ids, and end-of-text tokens do not end a text.",
      .examples = {"pkv bench tiny-gpt2", "pkv bench ./my-model --load-in nf4 --prompt-tokens 128 --output md",
                   "pkv bench ./my-model --new-tokens 1000 --prompt-tokens 16 --svg gain.svg",
                   "pkv bench ./my-model --new-tokens 0 --prefix-tokens 512,2048",
                   "pkv bench ./my-model --depth 0,1024 --output html --output-file bench.html",
                   "pkv bench --server http://127.0.0.1:8080 --output html --output-file server.html"},
      .misuse = [o](std::span<const std::string_view> given) { require_one_subject(*o, given); },
      .run = [o] { return run(*o); }};
  Option model = model_word(o->model, "a model folder or a bundled model");
  model.required = false;
  command.add(model);
  declare_lengths(command, *o);
  declare_rounds(command, o->plan);
  command.add({beyond_context(o->beyond_context),
               {.name = "--isa",
                .target = &o->isa,
                .help = "instruction set: SSE4, AVX2, AVX3, ... (default: the best there is)"}});
  o->engine.declare(command);
  o->output.declare(command, kBenchForms);
  command.add({{.name = "--past-dir",
                .target = &o->past_dir,
                .help = "where pasts are saved for the time of the run: the disk to measure (default: the system's "
                        "folder for temporary files)",
                .check = {Check::Kind::existing_folder}},
               {.name = "--text-file",
                .target = &o->text_file,
                .help = "with --server: the text that prompts are made of (default: one of about 230 tokens)",
                .check = {Check::Kind::readable}},
               {.name = "--svg", .target = &o->svg, .help = "draw the longest generation into this file as well"}});
  o->server.declare(command,
                    "time a running server at this address: how much sooner does a prompt's first token come "
                    "when a part of it was kept?");
  return command;
}

}  // namespace pkv::program
