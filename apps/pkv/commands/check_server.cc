#include "commands/check_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "checker/served/served.h"
#include "exit_code.h"
#include "servers/servers.h"
#include "show/columns.h"
#include "show/environment.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

// A prompt that is long enough to be kept in blocks of 256 tokens by whatever tokenizer.
constexpr std::string_view kPrompt =
    "A library keeps more than books. It keeps the order in which they were found, the pencil marks of readers who "
    "disagreed with the author, a tram ticket from a year that nobody remembers, and the quiet that settles when forty "
    "people read in one room. When the new building was planned, the council asked what could be thrown away. The "
    "oldest of the librarians answered with a list of things that had been thrown away before: the card catalogue, "
    "which was the only record of who had borrowed what before the fire; the second copy of every newspaper, until it "
    "turned out that the first copies had been printed on paper that crumbled; and the reading lamps, whose green "
    "shades "
    "came back a generation later at ten times the price. The council thanked her and voted for the plan. On the day "
    "of "
    "the move, students formed a chain across the square and handed the books from one building to the other. It took "
    "nine hours. At the end of it, somebody counted: of one hundred and eighteen thousand volumes, three were missing, "
    "and eleven had arrived that were in no catalogue at all. Nobody ever found out where they had come from, but the";

constexpr Telling<served::Report> kForms[] = {
    {Form::table,
     [](const served::Report& r, const show::Terminal& t) { return show::as_text(served::document(r), t); }},
    {Form::json, [](const served::Report& r, const show::Terminal&) { return served::report_json(r); }},
    {Form::csv, [](const served::Report& r, const show::Terminal&) { return show::as_csv(served::document(r)); }},
    {Form::md, [](const served::Report& r, const show::Terminal&) { return show::as_markdown(served::document(r)); }},
    {Form::html, [](const served::Report& r, const show::Terminal&) { return show::as_html(served::document(r)); }},
    {Form::junit, [](const served::Report& r, const show::Terminal&) { return served::report_junit(r); }}};

// "1,7,31" as numbers from 1 on.
template <class Number>
std::vector<Number> numbers_of(const std::string& list, std::string_view option, std::int32_t most) {
  std::vector<Number> numbers;
  for (const std::int32_t n : parse_ids(list, option)) {
    if (n < 1 || n > most) {
      fail_usage({.what = "not such a list of numbers",
                  .where = std::string(option),
                  .expected = fmt::format("from 1 to {}", most),
                  .found = list});
    }
    numbers.push_back(n);
  }
  return numbers;
}

// The command line as it was given, but for keys: `url` is the server's address without them.
std::string command_line(const std::string& url) {
  std::vector<std::string> words = show::started_with();
  const auto in_place = [&](std::string_view option, const std::string& value) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] == option && i + 1 < words.size()) words[i + 1] = value;
      if (words[i].starts_with(std::string(option) + "=")) words[i] = fmt::format("{}={}", option, value);
    }
  };
  in_place("--api-key", "...");
  in_place("--server", url);
  return show::shell_command(words);
}

// Texts that begin with it were never asked before by anybody.
std::string mark_of_this_run() {
  std::random_device device;
  return fmt::format("{:08x}", device());
}

std::string environment_key() {
  const char* key = std::getenv("PKV_API_KEY");
  return key == nullptr ? "" : key;
}

void tell_plan(const served::Server& server, const served::Plan& plan) {
  const std::string size =
      server.about().can.ids ? fmt::format(" of at most {}", show::counted(plan.longest, "token")) : "";
  note(fmt::format("{} at {}: at most {}{}", server.about().api, server.about().url,
                   show::counted(plan.requests, "request"), size));
}

}  // namespace

void ServerOptions::declare(Command& command) {
  static const std::vector<std::string_view> apis(servers::dialects().begin(), servers::dialects().end());
  command.add(
      {{.name = "--server",
        .target = &url,
        .help = "check a running server at this address: does a cache hit change its answer?",
        .value = "URL"},
       {.name = "--api",
        .target = &api,
        .help = "what the server speaks",
        .check = one_of(apis),
        .otherwise = "found by asking",
        .needs = {"--server"}},
       {.name = "--api-key",
        .target = &key,
        .help = "its key; better in PKV_API_KEY, since others see command lines",
        .needs = {"--server"}},
       {.name = "--model-name",
        .target = &model,
        .help = "which of the server's models",
        .otherwise = "its first",
        .needs = {"--server"}},
       {.name = "--prefixes",
        .target = &prefixes,
        .help = "lengths of what is kept for it: 16,32 (default: 1, powers of two and their neighbours, half, all "
                "but one, all)",
        .needs = {"--server"}},
       {.name = "--concurrency",
        .target = &companions,
        .help = "ask while so many other requests run, too: 1,7,31 (default: never)",
        .needs = {"--server"}},
       {.name = "--max-requests",
        .target = &most_requests,
        .help = "how many the server is asked at most",
        .check = within(1, 100'000),
        .shows_default = true,
        .needs = {"--server"}},
       {.name = "--candidates",
        .target = &candidates,
        .help = "log-probabilities of an answer that are compared, where the server gives so many",
        .check = within(1, 1000),
        .shows_default = true,
        .needs = {"--server"}},
       {.name = "--timeout",
        .target = &timeout,
        .help = "seconds for an answer",
        .check = within(1, 86'400),
        .shows_default = true,
        .needs = {"--server"}}});
}

bool ServerOptions::takes(std::string_view option) {
  constexpr std::string_view names[] = {"--server",  "--api",         "--api-key",    "--model-name",   "--prefixes",
                                        "--timeout", "--concurrency", "--candidates", "--max-requests", "--text",
                                        "--ids",     "--text-file",   "--verbose"};
  return std::ranges::find(names, option) != std::end(names) || option.starts_with("--output");
}

int check_server(const ServerOptions& options, const TextOptions& text, const OutputOptions& output) {
  served::Task task;
  task.options = {.most_requests = options.most_requests,
                  .prefixes = numbers_of<std::int64_t>(options.prefixes, "--prefixes", 100'000'000),
                  .companions = numbers_of<int>(options.companions, "--concurrency", 256),
                  .mark = mark_of_this_run()};
  if (text.ids) task.ids = text.read_ids();
  if (!text.ids) task.text = text.read().value_or(std::string(kPrompt));
  const OrderlyStop stop;
  servers::Endpoint endpoint{.url = options.url, .api = options.api, .key = options.key, .model = options.model};
  if (endpoint.key.empty()) endpoint.key = environment_key();
  endpoint.candidates = static_cast<int>(options.candidates);
  endpoint.timeout = std::chrono::seconds(options.timeout);
  endpoint.tell = [](const std::string& line) { note(line); };
  endpoint.stop = &stop.asked();
  try {
    const auto server = servers::connect(endpoint);
    task.before = [&](const served::Plan& plan) { tell_plan(*server, plan); };
    task.progress = progress_bar(server->about().url);
    served::Report report = served::check(*server, task);
    report.environment = show::environment("pkv " PKV_VERSION);
    report.command = command_line(report.about.url);
    const std::string verdict =
        fmt::format("{}: {}: {}", report.about.url, served::name_of(report.verdict.outcome), report.verdict.sentence);
    output.write(output.told(report, kForms), verdict);
    return report.verdict.holds() ? holds : does_not_hold;
  } catch (const servers::Stopped&) {
    clear_progress();
    end_stopped("stopped: no request is left running");
    throw;
  }
}

}  // namespace pkv::program
