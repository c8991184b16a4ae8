// pkv article: the seven runs of the post that pkv grew out of, told again with the bundled models or the post's own.
#include "checker/article/article.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "checker/article/document.h"
#include "checker/check/check.h"
#include "checker/recorded/recorded.h"
#include "commands/commands.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/text.h"
#include "show/environment.h"
#include "subjects/engine.h"
#include "terminal/progress.h"

namespace pkv::program {
namespace {

using article::PublishedRun;

struct ArticleOptions {
  EngineOptions engine;
  OutputOptions output;
  std::vector<std::string> models;  // "gpt2=PATH"
};

// By the key of the post's model.
std::map<std::string, std::string, std::less<>> chosen_models(const std::vector<std::string>& given) {
  std::map<std::string, std::string, std::less<>> models;
  for (const PublishedRun& run : article::published_runs()) models.emplace(run.model->key, run.model->bundled);
  for (const std::string& one : given) {
    const std::size_t sign = one.find('=');
    const auto known = models.find(one.substr(0, sign));
    if (sign == std::string::npos || sign + 1 == one.size() || known == models.end()) {
      fail_usage({.what = "cannot read --models",
                  .expected = "gpt2=MODEL,roberta=MODEL,mpt=MODEL,falcon=MODEL, or some of these",
                  .found = one});
    }
    known->second = one.substr(sign + 1);
  }
  return models;
}

EngineOptions formats_of(const PublishedRun& run, EngineOptions engine) {
  const bool quantized = run.load_in == "fp4" || run.load_in == "int8";
  engine.load_in = run.load_in;
  if (quantized) engine.dtype = "fp16";
  engine.past_dtype = run.load_in == "fp32" ? "fp32" : "fp16";
  return engine;
}

bool is_the_posts(const model::Card& card, const article::PublishedModel& m) {
  return card.layers == m.layers && card.inner == m.inner && card.hidden == m.hidden && card.vocab == m.vocab;
}

void require_family(const model::Card& card, const PublishedRun& run, const std::string& model) {
  if (card.family == run.model->family) return;
  fail_usage({.what = "not a model of the kind that the run needs",
              .where = fmt::format("--models {}={}", run.model->key, model),
              .expected = std::string(run.model->family),
              .found = card.family});
}

check::Report run_as(const PublishedRun& run, const std::string& model, const EngineOptions& engine, bool& real,
                     const std::string& label) {
  const std::filesystem::path folder = find_model(model);
  subjects::EngineSubject subject(load_model(folder, engine), hf::display_name(folder), {.as = engine.as});
  require_family(subject.model().card(), run, model);
  real = is_the_posts(subject.model().card(), *run.model);
  const std::string text(article::post_text);
  const TextOptions words{.text = text};
  return check::run(subject, read_input(words, folder).ids,
                    {.splits = check::parse_splits("last"), .text = text, .progress = progress_bar(label)});
}

article::RetoldRun retell(const PublishedRun& run, const std::string& model, const EngineOptions& engine,
                          const std::string& label) {
  article::RetoldRun told{.published = &run};
  EngineOptions options = formats_of(run, engine);
  told.now = run_as(run, model, options, told.real, label + ", correct");
  options.as = "transformers-2023";
  told.then = run_as(run, model, options, told.real, label + ", as then");
  return told;
}

using Runs = std::vector<article::RetoldRun>;
show::Document html_of(const Runs& runs) {
  show::Document page = article::document(runs);
  page.environment = show::environment("pkv " PKV_VERSION);
  page.command = show::shell_command(show::started_with());
  return page;
}

constexpr Telling<Runs> kArticleForms[] = {
    {Form::table, [](const Runs& runs, const show::Terminal& t) { return show::as_text(article::document(runs), t); }},
    {Form::json, [](const Runs& runs, const show::Terminal&) { return article::report_json(runs); }},
    {Form::md, [](const Runs& runs, const show::Terminal&) { return show::as_markdown(article::document(runs)); }},
    {Form::html, [](const Runs& runs, const show::Terminal&) { return show::as_html(html_of(runs)); }}};

int run_article(const ArticleOptions& options) {
  const auto models = chosen_models(options.models);
  const auto runs = article::published_runs();
  Runs told;
  for (const PublishedRun& run : runs) {
    const std::string label = fmt::format("{}/{} {}", told.size() + 1, runs.size(), run.name);
    told.push_back(retell(run, models.find(run.model->key)->second, options.engine, label));
  }
  const auto explained = std::count_if(told.begin(), told.end(), article::explained);
  options.output.write(options.output.told(told, kArticleForms),
                       fmt::format("{} of {} runs explained", explained, told.size()));
  return explained == std::ssize(told) ? holds : does_not_hold;
}

}  // namespace

Command article_command() {
  auto o = std::make_shared<ArticleOptions>();
  Command command{.name = "article",
                  .help = "The article's seven runs, told again: what had happened",
                  .notes =
                      "Exit code: 0 when the cause of every fault is found and the past of every causal model "
                      "holds, else 1.",
                  .examples = {"pkv article", "pkv article -o article.html",
                               "pkv article --models gpt2=./gpt2,mpt=./mpt-7b --output md"},
                  .run = [o] { return run_article(*o); }};
  command.add({.name = "--models",
               .target = &o->models,
               .help = "models to run: gpt2=MODEL,roberta=MODEL,mpt=MODEL,falcon=MODEL, or some of these (default: "
                       "bundled ones); with the post's own (GPT-2, RoBERTa base, MPT-7B, Falcon-7B, known by their "
                       "shapes) its figures are shown beside pkv's",
               .commas = true});
  o->engine.declare_backend(command);
  o->output.declare(command, kArticleForms);
  o->output.declare_verbose(command,
                            "-v shows each run: what the post printed, what a correct implementation prints, and why");
  return command;
}

}  // namespace pkv::program
