// pkv check and pkv review: run the checker on one model or many, and say what it found.
#include "checker/check/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/error.h"
#include "checker/measure/measure.h"
#include "checker/recorded/recorded.h"
#include "commands/check_server.h"
#include "commands/commands.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/shared.h"
#include "options/text.h"
#include "show/columns.h"
#include "show/environment.h"
#include "subjects/engine.h"
#include "subjects/faults.h"
#include "subjects/recorded.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

struct CheckOptions {
  TextOptions text;
  EngineOptions engine;
  OutputOptions output;
  ServerOptions server;
  std::string splits;
  bool beyond_context = false;
  std::vector<std::string> models, recorded;
  std::vector<std::string> formats;  // of a review, which may have several
  std::int64_t new_tokens = 0;       // generated to measure what the past gains

  template <class Result, std::size_t n>
  void declare(Command& command, const Telling<Result> (&forms)[n], std::string_view rest) {
    text.declare(command);
    engine.declare(command);
    engine.declare_as(command);
    command.add({{.name = "--splits",
                  .target = &splits,
                  .help = "where the text is split: all, last, or 3,5 (default: all up to 64 tokens, then a sample)"},
                 {.name = "--new-tokens",
                  .target = &new_tokens,
                  .help = "tokens generated to measure how much faster it is with the past (0: not measured)",
                  .check = at_least(0),
                  .shows_default = true},
                 program::beyond_context(beyond_context)});
    output.declare(command, forms);
    output.declare_verbose(command, rest);
  }
};

void say_where(check::Report& report) {
  report.environment = show::environment("pkv " PKV_VERSION);
  report.command = show::shell_command(show::started_with());
}

// Before a model is fetched and opened.
void require_sense(const CheckOptions& options) {
  check::parse_splits(options.splits);
  options.engine.load_options();
}

check::Report check_model(const std::string& name, const CheckOptions& options) {
  require_sense(options);
  const auto splits = check::parse_splits(options.splits);
  const std::filesystem::path folder = find_model(name);
  subjects::EngineSubject subject(load_model(folder, options.engine), hf::display_name(folder),
                                  {.as = options.engine.as});
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), static_cast<std::int64_t>(input.ids.size()), options.beyond_context);
  check::Report report = check::run(
      subject, input.ids, {.splits = splits, .text = input.text, .progress = progress_bar(subject.describe().name)});
  if (report.verdict.holds() && options.engine.as.empty()) {
    if (const auto gain = measure::gain(subject, input.ids, options.new_tokens)) {
      report.gain = {.times = gain->times, .error = gain->error, .new_tokens = options.new_tokens};
    }
  }
  return report;
}

constexpr Telling<check::Report> kCheckForms[] = {
    {Form::table, [](const check::Report& r, const show::Terminal& t) { return show::as_text(check::document(r), t); }},
    {Form::json, [](const check::Report& r, const show::Terminal&) { return check::report_json(r); }},
    {Form::csv, [](const check::Report& r, const show::Terminal&) { return show::as_csv(check::document(r)); }},
    {Form::md, [](const check::Report& r, const show::Terminal&) { return show::as_markdown(check::document(r)); }},
    {Form::html, [](const check::Report& r, const show::Terminal&) { return show::as_html(check::document(r)); }},
    {Form::junit, [](const check::Report& r, const show::Terminal&) { return check::report_junit(r); }}};

// --as help
int list_as(const OutputOptions& output) {
  std::string lines;
  for (const subjects::Choice& c : subjects::implementations()) {
    lines += show::wrapped(fmt::format("{:<24}", c.name), c.sentence);
  }
  output.write(lines + "Two at once: window=4+past-in-fp16\n");
  return holds;
}

// Of a report that goes to a file.
std::string verdict_line(const check::Report& r) {
  const auto tone = r.verdict.holds() ? show::Tone::good : show::Tone::bad;
  const std::string start = fmt::format("{}: {} ", show::printable(r.subject.name), show::mark_of(tone));
  return start + fmt::format("{}: {}", name_of(r.verdict.outcome), r.verdict.sentence);
}

int run_check(const CheckOptions& options) {
  if (options.engine.as == "help") return list_as(options.output);
  if (!options.server.address.url.empty()) {
    return check_server(options.server, options.text, options.engine, options.output);
  }
  check::Report report = options.recorded.empty()
                             ? check_model(options.models.at(0), options)
                             : check::compare_recordings(subjects::read_recording(options.recorded[0]),
                                                         subjects::read_recording(options.recorded[1]));
  say_where(report);
  options.output.write(options.output.told(report, kCheckForms), verdict_line(report));
  return report.verdict.holds() ? holds : does_not_hold;
}

struct Review {
  std::vector<check::Report> reports;
  std::vector<check::NotChecked> others;
};

show::Document document(const Review& r) { return check::review(r.reports, r.others); }

constexpr Telling<Review> kReviewForms[] = {
    {Form::table, [](const Review& r, const show::Terminal& t) { return show::as_text(document(r), t); }},
    {Form::json, [](const Review& r, const show::Terminal&) { return check::review_json(r.reports, r.others); }},
    {Form::csv, [](const Review& r, const show::Terminal&) { return show::as_csv(document(r)); }},
    {Form::md, [](const Review& r, const show::Terminal&) { return show::as_markdown(document(r)); }},
    {Form::html, [](const Review& r, const show::Terminal&) { return show::as_html(document(r)); }},
    {Form::junit, [](const Review& r, const show::Terminal&) { return check::review_junit(r.reports, r.others); }}};

// Each model in each format, one model in each.
std::vector<CheckOptions> one_by_one(const CheckOptions& options) {
  std::vector<CheckOptions> all;
  for (const std::string& model : options.models) {
    for (const std::string& format : options.formats) {
      all.emplace_back(options).models = {model};
      all.back().engine.load_in = format;
    }
  }
  return all;
}

std::string verdict_lines(const Review& r) {
  std::vector<std::string> lines;
  for (const check::Report& report : r.reports) lines.push_back(verdict_line(report));
  for (const check::NotChecked& other : r.others) lines.push_back(fmt::format("{}: ? not checked", other.model));
  return fmt::format("{}", fmt::join(lines, "\n"));
}

// A model that cannot be checked does not keep the others from it; its error is said at once and counts in the end.
int run_review(CheckOptions options) {
  if (options.engine.as == "help") return list_as(options.output);
  if (options.models.empty()) {
    for (const auto& folder : bundled_models()) options.models.push_back(folder.string());
  }
  if (options.formats.empty()) options.formats.emplace_back();
  for (const CheckOptions& one : one_by_one(options)) require_sense(one);
  options.text = options.text.kept();
  Review review;
  int code = holds;
  const auto not_checked = [&](const std::string& model, const std::string& message, ExitCode why) {
    clear_progress();
    say(fmt::format("pkv: {}\n", message));
    review.others.push_back({hf::display_name(model), message});
    code = std::max<int>(code, why);
  };
  for (const CheckOptions& one : one_by_one(options)) {
    const std::string& model = one.models[0];
    try {
      review.reports.push_back(check_model(model, one));
      say_where(review.reports.back());
      if (!review.reports.back().verdict.holds()) code = std::max<int>(code, does_not_hold);
    } catch (const Error& e) {
      const bool named = e.text().where.find(model) != std::string::npos;
      not_checked(model, (named ? "" : model + ": ") + e.what(), code_of(e.kind()));
    } catch (const std::bad_alloc&) {
      not_checked(model, model + ": not enough memory\n  try:      a shorter text or a smaller model", cannot_load);
    } catch (const std::exception& e) {
      not_checked(model, fmt::format("{}: internal error: {}", model, e.what()), internal_error);
    }
  }
  options.output.write(options.output.told(review, kReviewForms), verdict_lines(review));
  return code;
}

// What is recorded is compared as it is.
void require_no_model_options(std::span<const std::string_view> given) {
  for (const std::string_view name : given) {
    if (name == "--recorded" || name == "--verbose" || name.starts_with("--output")) continue;
    fail_usage({.what = "recorded runs are compared as they are",
                .where = std::string(name),
                .expected = "--recorded without it"});
  }
}

// A server computes as it was started.
void require_server_options(const ServerOptions& server, std::span<const std::string_view> given) {
  for (const std::string_view name : given) {
    if (server.takes(name)) continue;
    fail_usage({.what = "means nothing for a server, which computes as it was started",
                .where = std::string(name),
                .expected = "--server without it"});
  }
}

void require_subject(const CheckOptions& options, std::span<const std::string_view> given) {
  const bool list = options.engine.as == "help" && options.models.empty();
  const int subjects =
      int{!options.models.empty()} + int{!options.recorded.empty()} + int{!options.server.address.url.empty()};
  if (!list && subjects != 1) {
    fail_usage({.what = subjects == 0 ? "nothing to check" : "only one can be checked at a time",
                .where = "pkv check",
                .expected = "a MODEL, two files with --recorded, or --server with an address",
                .hint = "pkv check tiny-gpt2"});
  }
  if (!options.server.address.url.empty()) require_server_options(options.server, given);
  if (!options.recorded.empty()) require_no_model_options(given);
}

}  // namespace

Command check_command() {
  auto o = std::make_shared<CheckOptions>();
  Command command{
      .name = "check",
      .help = "Are the logits with the past the logits without it?",
      .examples = {"pkv check tiny-gpt2", "pkv check tiny-falcon --text-file story.txt --splits all --output json",
                   "pkv check ./my-model --ids 1,2,3,4 --backend naive",
                   "pkv check tiny-mpt --load-in nf4 --double-quant", "pkv check tiny-falcon --as transformers-2023",
                   "pkv check tiny-falcon --output html --output-file report.html",
                   "pkv check --recorded without.safetensors with.safetensors",
                   "pkv check --server http://127.0.0.1:8080 --text-file prompt.txt",
                   "pkv check --server http://127.0.0.1:8080 --against ./model.gguf"},
      .misuse = [o](std::span<const std::string_view> given) { require_subject(*o, given); },
      .run = [o] { return run_check(*o); }};
  command.add({.name = "MODEL",
               .target = &o->models,
               .help = "a folder, a GGUF file, a bundled model, or a Hub model",
               .words = 1});
  o->declare(command, kCheckForms, "-v shows the logits, every experiment and the proofs");
  command.add({.name = "--recorded",
               .target = &o->recorded,
               .help = "compare two recorded files: without past, with past",
               .check = {Check::Kind::existing_file},
               .words = 2});
  o->server.declare(command);
  return command;
}

Command review_command() {
  auto o = std::make_shared<CheckOptions>();
  o->new_tokens = 32;
  Command command{.name = "review",
                  .help = "Check many models: a table each, then a summary",
                  .examples = {"pkv review", "pkv review --load-in fp32,int8,nf4",
                               "pkv review --output junit --output-file pkv.xml",
                               "pkv review tiny-gpt2 ./my-model --text \"Once upon a time\" --output md"},
                  .run = [o] { return run_review(*o); }};
  command.add({.name = "MODEL",
               .target = &o->models,
               .help = "folders, GGUF files, bundled models or Hub models (default: all bundled ones)"});
  o->declare(command, kReviewForms, "-v shows each model's logits, experiments, proofs and causes");
  command.remove("--load-in");
  command.add({.name = "--load-in",
               .target = &o->formats,
               .help = "number formats of the weights in memory, each model in each: fp32,int8,nf4 (default: as "
                       "stored)",
               .check = one_of(load_in_names(), kFloatSpellings),
               .commas = true});
  return command;
}

}  // namespace pkv::program
