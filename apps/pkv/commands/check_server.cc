#include "commands/check_server.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "checker/served/served.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "servers/servers.h"
#include "show/environment.h"
#include "subjects/asked.h"
#include "subjects/engine.h"
#include "terminal/progress.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

constexpr Telling<served::Report> kForms[] = {
    {Form::table,
     [](const served::Report& r, const show::Terminal& t) { return show::as_text(served::document(r), t); }},
    {Form::json, [](const served::Report& r, const show::Terminal&) { return served::report_json(r); }},
    {Form::csv, [](const served::Report& r, const show::Terminal&) { return show::as_csv(served::document(r)); }},
    {Form::md, [](const served::Report& r, const show::Terminal&) { return show::as_markdown(served::document(r)); }},
    {Form::html, [](const served::Report& r, const show::Terminal&) { return show::as_html(served::document(r)); }},
    {Form::junit, [](const served::Report& r, const show::Terminal&) { return served::report_junit(r); }}};

constexpr Telling<served::Versus> kVersusForms[] = {
    {Form::table,
     [](const served::Versus& v, const show::Terminal& t) { return show::as_text(served::document(v), t); }},
    {Form::json, [](const served::Versus& v, const show::Terminal&) { return served::report_json(v); }},
    {Form::csv, [](const served::Versus& v, const show::Terminal&) { return show::as_csv(served::document(v)); }},
    {Form::md, [](const served::Versus& v, const show::Terminal&) { return show::as_markdown(served::document(v)); }},
    {Form::html, [](const served::Versus& v, const show::Terminal&) { return show::as_html(served::document(v)); }},
    {Form::junit, [](const served::Versus& v, const show::Terminal&) { return served::report_junit(v); }}};

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

std::string called(const served::Server& server) {
  return fmt::format("{} at {}", server.about().api, server.about().url);
}

template <class Result>
std::string verdict_of(const Result& r, const std::string& url) {
  return fmt::format("{}: {}: {}", url, served::name_of(r.verdict.outcome), r.verdict.sentence);
}

int check_alone(const ServerOptions& options, const served::Task& asked, const servers::Endpoint& endpoint,
                const OutputOptions& output) {
  served::Task task = asked;
  const auto server = servers::connect(endpoint);
  task.before = [&](const served::Plan& plan) {
    tell_requests(called(*server), plan.requests, server->about().can.ids ? plan.longest : 0);
  };
  task.progress = progress_bar(server->about().url);
  served::Report report = served::check(*server, task);
  report.environment = show::environment("pkv " PKV_VERSION);
  report.command = command_line(report.about.url, options.against);
  output.write(output.told(report, kForms), verdict_of(report, report.about.url));
  return report.verdict.holds() ? holds : does_not_hold;
}

// A model as another server, with all that it is made of.
class OwnEngine {
 public:
  OwnEngine(const std::string& name, const EngineOptions& options, std::int64_t candidates)
      : folder_(find_model(name)),
        subject_(load_model(folder_, options), hf::display_name(folder_)),
        asked_(subject_, {.where = name,
                          .version = PKV_VERSION,
                          .candidates = static_cast<int>(candidates),
                          .tokenize = [this](const std::string& text) { return tokenizer().encode(text); },
                          .decode = [this](std::span<const std::int32_t> ids) { return tokenizer().decode(ids); }}) {}
  served::Server& server() { return asked_; }

 private:
  // Read when it is needed first.
  const text::Tokenizer& tokenizer() {
    if (!tokenizer_) tokenizer_.emplace(load_tokenizer(folder_, "token ids: --ids 1,2,3"));
    return *tokenizer_;
  }

  std::filesystem::path folder_;
  std::optional<text::Tokenizer> tokenizer_;
  subjects::EngineSubject subject_;
  subjects::Asked asked_;
};

int check_against(const ServerOptions& options, const served::Task& asked, const servers::Endpoint& endpoint,
                  const EngineOptions& engine, const OutputOptions& output) {
  std::unique_ptr<served::Server> running;
  std::unique_ptr<OwnEngine> own;
  const auto first = servers::connect(endpoint);
  if (options.against_a_server()) {
    servers::Endpoint other = endpoint;
    other.url = options.against;
    other.key = environment("PKV_API_KEY_AGAINST");  // the other's key goes to the other alone
    other.api.clear();
    other.model.clear();
    running = servers::connect(other);
  } else {
    own = std::make_unique<OwnEngine>(options.against, engine, options.address.candidates);
  }
  served::Server& second = running ? *running : own->server();
  served::VersusTask task{.text = asked.text, .ids = asked.ids, .options = asked.options};
  task.tolerance = options.tolerance.value_or(served::kTolerance);
  task.before = [&](std::int64_t requests, std::int64_t longest) {
    tell_requests(called(*first) + " and " + called(second), requests, longest);
  };
  task.progress = progress_bar(first->about().url);
  served::Versus versus = served::compare(*first, second, task);
  versus.environment = show::environment("pkv " PKV_VERSION);
  versus.command = command_line(versus.about[0].url, running ? versus.about[1].url : options.against);
  output.write(output.told(versus, kVersusForms), verdict_of(versus, versus.about[0].url));
  return versus.verdict.holds() ? holds : does_not_hold;
}

}  // namespace

void ServerOptions::declare(Command& command) {
  address.declare(command, "check a running server at this address: does a cache hit change its answer?");
  command.add({{.name = "--against",
                .target = &against,
                .help = "hold its answers against those of another server, or of a model in pkv's own engine",
                .value = "URL|MODEL",
                .needs = {"--server"}},
               {.name = "--tolerance",
                .target = &tolerance,
                .help = "with --against: divergence in nats up to which two answers are alike (default: 0.01)",
                .check = at_least(0),
                .needs = {"--against"}},
               {.name = "--prefixes",
                .target = &prefixes,
                .help = "lengths of what is kept for it: 16,32 (default: 1, powers of two and their neighbours, half, "
                        "all but one, all)",
                .needs = {"--server"}},
               {.name = "--concurrency",
                .target = &companions,
                .help = "ask while so many other requests run, too: 1,7,31 (default: never)",
                .needs = {"--server"}},
               {.name = "--flood",
                .target = &flood,
                .help = "other prompts that are asked to push what was kept out of its cache (0: none)",
                .check = within(0, 10'000),
                .shows_default = true,
                .needs = {"--server"}},
               {.name = "--candidates",
                .target = &address.candidates,
                .help = "log-probabilities of an answer that are compared, where the server gives so many",
                .check = within(1, 1000),
                .shows_default = true,
                .needs = {"--server"}}});
}

bool ServerOptions::against_a_server() const { return against.find("://") != against.npos; }

bool ServerOptions::takes(std::string_view option) const {
  constexpr std::string_view names[] = {"--prefixes",  "--candidates", "--text",    "--ids",
                                        "--text-file", "--against",    "--verbose", "--tolerance"};
  constexpr std::string_view of_a_model[] = {"--backend",      "--threads",        "--load-in",      "--dtype",
                                             "--past-dtype",   "--block-size",     "--double-quant", "--skip",
                                             "--longest-text", "--int8-threshold", "--int8-outliers"};
  if (std::ranges::find(of_a_model, option) != std::end(of_a_model)) return !against.empty() && !against_a_server();
  if (option == "--concurrency" || option == "--flood") return against.empty();
  return ServerAddress::takes(option) || std::ranges::find(names, option) != std::end(names) ||
         option.starts_with("--output");
}

int check_server(const ServerOptions& options, const TextOptions& text, const EngineOptions& engine,
                 const OutputOptions& output) {
  served::Task task;
  task.options = {.most_requests = options.address.most_requests,
                  .prefixes = numbers_of<std::int64_t>(options.prefixes, "--prefixes", 100'000'000),
                  .companions = numbers_of<int>(options.companions, "--concurrency", 256),
                  .flood = static_cast<int>(options.flood),
                  .mark = mark_of_this_run()};
  if (text.ids) task.ids = text.read_ids();
  if (!text.ids) task.text = text.read().value_or(std::string(kServerPrompt));
  const OrderlyStop stop;
  const servers::Endpoint endpoint = options.address.endpoint(stop.asked());
  try {
    return options.against.empty() ? check_alone(options, task, endpoint, output)
                                   : check_against(options, task, endpoint, engine, output);
  } catch (const servers::Stopped&) {
    clear_progress();
    end_stopped("stopped: no request is left running");
    throw;
  }
}

}  // namespace pkv::program
