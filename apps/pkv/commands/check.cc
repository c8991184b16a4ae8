// pkv check and pkv review: run the checker on one model or many, and say what it found.
#include "check/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/error.h"
#include "program.h"
#include "subjects/engine.h"
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

  void add(CLI::App& command) {
    text.add(command);
    engine.add(command);
    engine.add_as(command);
    command.add_option("--splits", splits,
                       "where the text is split: all, last, or 3,5 (default: all up to 64 tokens, then a sample)");
    command.add_flag("--beyond-context", beyond_context,
                     "allow a text longer than an ALiBi or rotary model was trained for");
    output.add(command, {"table", "json", "csv", "md"});
  }
};

check::Report check_model(const std::string& name, const CheckOptions& options) {
  const std::filesystem::path folder = find_model(name);
  EngineSubject subject(load_model(folder, options.engine), display_name(folder), options.engine.as);
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), static_cast<std::int64_t>(input.ids.size()), options.beyond_context);
  return check::run(subject, input.ids,
                    {.splits = check::parse_splits(options.splits),
                     .text = input.text,
                     .progress = progress_bar(subject.describe().name)});
}

std::string render(const check::Report& report, const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return check::report_json(report);
    case Format::csv:
      return check::report_csv(report);
    case Format::md:
      return check::report_markdown(report);
    case Format::table:
      break;
  }
  return check::report_text(report, output.colour());
}

// --as help
int list_as(const OutputOptions& output) {
  output.write(list_implementations());
  return holds;
}

int run_check(const CheckOptions& options) {
  if (options.engine.as == "help") return list_as(options.output);
  const check::Report report =
      options.recorded.empty()
          ? check_model(options.models.at(0), options)
          : check::compare_recordings(read_recording(options.recorded[0]), read_recording(options.recorded[1]));
  options.output.write(render(report, options.output));
  return report.verdict.holds() ? holds : does_not_hold;
}

std::string render_review(const std::vector<check::Report>& reports, const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return check::summary_json(reports);
    case Format::csv:
      return check::summary_csv(reports);
    case Format::md: {
      std::string text;
      for (const check::Report& r : reports) text += check::report_markdown(r) + "\n";
      return text + check::summary_markdown(reports);
    }
    case Format::table:
      break;
  }
  std::string text;
  for (const check::Report& r : reports) text += check::report_text(r, output.colour()) + "\n";
  return text + check::summary_text(reports, output.colour());
}

// A model that cannot be checked does not keep the others from it; its error is said at once and counts in the end.
int run_review(const CheckOptions& options) {
  if (options.engine.as == "help") return list_as(options.output);
  std::vector<std::string> models = options.models;
  if (models.empty()) {
    for (const auto& folder : bundled_models()) models.push_back(folder.string());
  }
  std::vector<check::Report> reports;
  int code = holds;
  for (const std::string& model : models) {
    try {
      reports.push_back(check_model(model, options));
      if (!reports.back().verdict.holds()) code = std::max<int>(code, does_not_hold);
    } catch (const Error& e) {
      const bool named = e.text().where.find(model) != std::string::npos;
      fmt::print(stderr, "pkv: {}{}\n", named ? "" : model + ": ", e.what());
      code = std::max<int>(code, e.kind() == Error::Kind::usage ? bad_usage : cannot_load);
    } catch (const std::bad_alloc&) {
      fmt::print(stderr, "pkv: {}: not enough memory\n  try:      a shorter text or a smaller model\n", model);
      code = std::max<int>(code, cannot_load);
    }
  }
  if (!reports.empty()) options.output.write(render_review(reports, options.output));
  return code;
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
      "  pkv check --recorded without.safetensors with.safetensors\n");
  command->callback([options, &action] {
    const bool list = options->engine.as == "help" && options->models.empty();
    if (!list && options->models.empty() == options->recorded.empty()) {
      throw CLI::ValidationError("check", "give a MODEL, or two files with --recorded");
    }
    action = [options] { return run_check(*options); };
  });
}

void add_review(CLI::App& app, Action& action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("review", "Check many models: a table each, then a summary");
  command->add_option("MODEL", options->models, "folders, bundled models or Hub models (default: all bundled ones)");
  options->add(*command);
  command->footer(
      "\nExamples:\n"
      "  pkv review\n"
      "  pkv review --load-in int8\n"
      "  pkv review tiny-gpt2 ./my-model --text \"Once upon a time\" --output md\n");
  command->callback([options, &action] { action = [options] { return run_review(*options); }; });
}

}  // namespace pkv::program
