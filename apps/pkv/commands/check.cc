// pkv check and pkv review: run the checker on one model or many, and say what it found.
#include "checker/check/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/error.h"
#include "base/file.h"
#include "checker/measure/measure.h"
#include "checker/recorded/recorded.h"
#include "program.h"
#include "show/columns.h"
#include "show/environment.h"
#include "subjects/engine.h"
#include "subjects/faults.h"
#include "subjects/recorded.h"

namespace pkv::program {
namespace {

struct CheckOptions {
  TextOptions text;
  EngineOptions engine;
  OutputOptions output;
  std::string splits;
  bool beyond_context = false;
  std::vector<std::string> models, recorded;
  std::vector<std::string> formats;  // of a review, which may have several
  std::int64_t new_tokens = 0;       // of a review: generated to measure what the past gains

  void add(CLI::App& command) {
    text.add(command);
    engine.add(command);
    engine.add_as(command);
    command.add_option("--splits", splits,
                       "where the text is split: all, last, or 3,5 (default: all up to 64 tokens, then a sample)");
    command.add_flag("--beyond-context", beyond_context,
                     "allow a text longer than an ALiBi or rotary model was trained for");
    output.add(command, {"table", "json", "csv", "md", "html", "junit"});
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
  subjects::EngineSubject subject(load_model(folder, options.engine), display_name(folder), {.as = options.engine.as});
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

std::string render(const check::Report& report, const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return check::report_json(report);
    case Format::csv:
      return show::as_csv(check::document(report));
    case Format::md:
      return show::as_markdown(check::document(report));
    case Format::html:
      return show::as_html(check::document(report));
    case Format::junit:
      return check::report_junit(report);
    case Format::table:
      break;
  }
  return show::as_text(check::document(report), output.colour());
}

// --as help
int list_as(const OutputOptions& output) {
  std::string lines;
  for (const subjects::Choice& c : subjects::implementations()) {
    lines += show::wrapped(fmt::format("{:<24}", c.name), c.sentence);
  }
  output.write(lines + "Two at once: window=4+past-in-fp16\n");
  return holds;
}

int run_check(const CheckOptions& options) {
  if (options.engine.as == "help") return list_as(options.output);
  require_writable(options.output.file);
  check::Report report = options.recorded.empty()
                             ? check_model(options.models.at(0), options)
                             : check::compare_recordings(subjects::read_recording(options.recorded[0]),
                                                         subjects::read_recording(options.recorded[1]));
  say_where(report);
  options.output.write(render(report, options.output));
  return report.verdict.holds() ? holds : does_not_hold;
}

std::string render_review(const std::vector<check::Report>& reports, const std::vector<check::NotChecked>& others,
                          const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return check::review_json(reports, others);
    case Format::junit:
      return check::review_junit(reports, others);
    case Format::csv:
      return show::as_csv(check::review(reports, others));
    case Format::md:
      return show::as_markdown(check::review(reports, others));
    case Format::html:
      return show::as_html(check::review(reports, others));
    case Format::table:
      break;
  }
  return show::as_text(check::review(reports, others), output.colour());
}

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

// A model that cannot be checked does not keep the others from it; its error is said at once and counts in the end.
int run_review(CheckOptions options) {
  if (options.engine.as == "help") return list_as(options.output);
  require_writable(options.output.file);
  if (options.models.empty()) {
    for (const auto& folder : bundled_models()) options.models.push_back(folder.string());
  }
  if (options.formats.empty()) options.formats.emplace_back();
  for (const CheckOptions& one : one_by_one(options)) require_sense(one);
  std::vector<check::Report> reports;
  std::vector<check::NotChecked> others;
  int code = holds;
  const auto not_checked = [&](const std::string& model, const std::string& message, ExitCode why) {
    clear_progress();
    say(fmt::format("pkv: {}\n", message));
    others.push_back({display_name(model), message});
    code = std::max<int>(code, why);
  };
  for (const CheckOptions& one : one_by_one(options)) {
    const std::string& model = one.models[0];
    try {
      reports.push_back(check_model(model, one));
      say_where(reports.back());
      if (!reports.back().verdict.holds()) code = std::max<int>(code, does_not_hold);
    } catch (const Error& e) {
      const bool named = e.text().where.find(model) != std::string::npos;
      not_checked(model, (named ? "" : model + ": ") + e.what(), code_of(e.kind()));
    } catch (const std::bad_alloc&) {
      not_checked(model, model + ": not enough memory\n  try:      a shorter text or a smaller model", cannot_load);
    } catch (const std::exception& e) {
      not_checked(model, fmt::format("{}: internal error: {}", model, e.what()), internal_error);
    }
  }
  options.output.write(render_review(reports, others, options.output));
  return code;
}

// What is recorded is compared as it is.
void require_no_model_options(const CLI::App& check) {
  for (const CLI::Option* option : check.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || name == "--recorded" || name.starts_with("--output")) continue;
    fail_usage({.what = "recorded runs are compared as they are", .where = name, .expected = "--recorded without it"});
  }
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("check", "Are the logits with the past the logits without it?");
  command->add_option("MODEL", options->models, "a folder, a bundled model, or a Hub model")->expected(1);
  options->add(*command);
  command->add_option("--recorded", options->recorded, "compare two recorded files: without past, with past")
      ->expected(2)
      ->check(CLI::ExistingFile);
  command->footer(
      "\nExamples:\n"
      "  pkv check tiny-gpt2\n"
      "  pkv check tiny-falcon --text-file story.txt --splits all --output json\n"
      "  pkv check ./my-model --ids 1,2,3,4 --backend naive\n"
      "  pkv check tiny-mpt --load-in nf4 --double-quant\n"
      "  pkv check tiny-falcon --as transformers-2023\n"
      "  pkv check tiny-falcon --output html --output-file report.html\n"
      "  pkv check --recorded without.safetensors with.safetensors\n");
  command->callback([options, command, &action] {
    const bool list = options->engine.as == "help" && options->models.empty();
    if (!list && options->models.empty() == options->recorded.empty()) {
      throw CLI::ValidationError("check", "give a MODEL, or two files with --recorded");
    }
    if (!options->recorded.empty()) require_no_model_options(*command);
    action = [options] { return run_check(*options); };
  });
}

void add_review(CLI::App& app, Action& action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("review", "Check many models: a table each, then a summary");
  command->add_option("MODEL", options->models, "folders, bundled models or Hub models (default: all bundled ones)");
  options->add(*command);
  command->remove_option(command->get_option("--load-in"));
  command
      ->add_option("--load-in", options->formats,
                   "number formats of the weights in memory, each model in each: fp32,int8,nf4 (default: as stored)")
      ->check(CLI::IsMember(kLoadIn))
      ->delimiter(',')
      ->allow_extra_args(false);
  options->new_tokens = 32;
  command
      ->add_option("--new-tokens", options->new_tokens,
                   "tokens generated to measure how much faster it is with the past (0: not measured)")
      ->check(at_least(0))
      ->capture_default_str();
  command->footer(
      "\nExamples:\n"
      "  pkv review\n"
      "  pkv review --load-in fp32,int8,nf4\n"
      "  pkv review --output junit --output-file pkv.xml\n"
      "  pkv review tiny-gpt2 ./my-model --text \"Once upon a time\" --output md\n");
  command->callback([options, &action] { action = [options] { return run_review(*options); }; });
}

}  // namespace pkv::program
