// pkv perplexity: how well a model predicts a file of text, and how far a number format moves its predictions.
#include "checker/perplexity/perplexity.h"

#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "base/error.h"
#include "checker/perplexity/document.h"
#include "commands/commands.h"
#include "engine/model/model.h"
#include "engine/model/open_source.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/shared.h"
#include "options/text.h"
#include "subjects/engine.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

constexpr std::size_t kPart = 64 << 10;  // bytes of the file read at once

struct PerplexityOptions {
  std::string model;
  TextOptions text;
  std::optional<std::int64_t> context, stride;
  std::int64_t chunk = 512;
  std::string against;
  EngineOptions engine;
  OutputOptions output;
};

// The ids of a file, or of the stream that is called so, read part by part.
class FileIds {
 public:
  FileIds(const std::string& path, std::istream& file, const text::Tokenizer& tokenizer, bool special,
          std::int64_t vocab)
      : path_(path),
        file_(file),
        tokenizer_(tokenizer),
        reader_(tokenizer, special),
        vocab_(vocab),
        part_(kPart, '\0') {
    if (!file_) fail_load({.what = "cannot read the file", .where = path});
    if (!reader_.streams()) note("this tokenizer's text cannot be cut safely: the whole file is held in memory");
  }

  bool operator()(std::vector<std::int32_t>& ids) {
    file_.read(part_.data(), static_cast<std::streamsize>(part_.size()));
    const auto got = static_cast<std::size_t>(file_.gcount());
    if (file_.bad()) fail_load({.what = "cannot read the file", .where = path_});
    if (bytes_ == 0) note_byte_order_mark(std::string_view(part_).substr(0, got), path_);
    bytes_ += got;
    const auto more = encode(std::string_view(part_).substr(0, got));
    require_in_vocabulary(more, tokenizer_, vocab_);
    ids.insert(ids.end(), more.begin(), more.end());
    return got > 0;
  }

  std::uint64_t bytes() const { return bytes_; }  // read so far

 private:
  // The rest, where there is no more to come.
  std::vector<std::int32_t> encode(std::string_view part) try {
    return part.empty() ? reader_.finish() : reader_.push(part);
  } catch (const Error& e) {
    Error::Text said = e.text();
    said.where = said.where.empty() ? path_ : fmt::format("{}: {}", path_, said.where);
    if (said.hint.empty()) said.hint = fmt::format("iconv -f LATIN1 -t UTF-8 {}, where it is Latin-1", path_);
    throw Error(e.kind(), said);
  }

  std::string path_;
  std::istream& file_;
  text::Tokenizer tokenizer_;
  text::Tokenizer::Reader reader_;
  std::int64_t vocab_;
  std::string part_;
  std::uint64_t bytes_ = 0;
};

void require_causal(const model::Card& card, const std::string& name) {
  if (card.causal) return;
  fail_usage({.what = "perplexity is not defined for this model: it attends both ways and predicts no next token",
              .where = name,
              .expected = "a causal model",
              .found = fmt::format("{}, {}", card.family, card.notes)});
}

perplexity::Windows windows_of(const PerplexityOptions& options, const model::Card& card) {
  const std::int64_t context = options.context.value_or(card.context);
  if (card.context_is_hard && context > card.context) {
    fail_usage({.what = "this is more than the model's context",
                .where = "--context",
                .expected = fmt::format("at most {} tokens", card.context),
                .found = fmt::format("{}", context)});
  }
  return {.context = context, .stride = options.stride.value_or(context), .chunk = options.chunk};
}

// The past of the reference is in the reference's format, whatever --past-dtype says of the tested one.
std::unique_ptr<subjects::EngineSubject> load_reference(const PerplexityOptions& options,
                                                        const std::filesystem::path& folder,
                                                        const kernels::Backend& backend) {
  if (options.against.empty()) return nullptr;
  model::LoadOptions formats;
  set_load_in(formats, options.against);
  model::Model model = model::load(model::open_source(folder), backend, formats);
  for (const std::string& line : model.notes()) note(fmt::format("--against {}: {}", options.against, line));
  return std::make_unique<subjects::EngineSubject>(std::move(model), hf::display_name(folder));
}

constexpr Telling<perplexity::Result> kPerplexityForms[] = {
    {Form::table,
     [](const perplexity::Result& p, const show::Terminal& t) { return show::as_text(perplexity::document(p), t); }},
    {Form::json, [](const perplexity::Result& p, const show::Terminal&) { return perplexity::report_json(p); }},
    {Form::csv,
     [](const perplexity::Result& p, const show::Terminal&) { return show::as_csv(perplexity::document(p)); }},
    {Form::md,
     [](const perplexity::Result& p, const show::Terminal&) { return show::as_markdown(perplexity::document(p)); }}};

// Tokens of tokens read so far become bytes of the file, whose tokens nobody has counted yet.
Progress in_bytes(const Progress& bar, const FileIds& ids, const std::string& file) {
  std::error_code error;
  const auto total = static_cast<std::int64_t>(std::filesystem::file_size(file, error));
  if (!bar || error) return {};
  return [=, &ids](std::int64_t done, std::int64_t read) {
    const double share = static_cast<double>(done) / static_cast<double>(read);
    bar(static_cast<std::int64_t>(share * static_cast<double>(std::min<std::uint64_t>(ids.bytes(), total))), total);
  };
}

// What holds the text: its name, and the stream.
struct Source {
  std::string name;
  std::unique_ptr<std::istream> stream;
};

Source source_of(const TextOptions& text) {
  if (text.file && *text.file != "-")
    return {*text.file, std::make_unique<std::ifstream>(*text.file, std::ios::binary)};
  if (text.text && *text.text != "-") return {"--text", std::make_unique<std::istringstream>(*text.text)};
  if (!text.text && !text.file && !has_own_stdin() && !piped()) {
    fail_usage({.what = "no text to predict", .expected = "--text-file, --text, or a text on stdin"});
  }
  tell_that_stdin_is_read();
  return {"stdin", std::make_unique<std::istream>(std::cin.rdbuf())};
}

int run(const PerplexityOptions& options) {
  const Source source = source_of(options.text);
  const std::filesystem::path folder = find_model(options.model);
  subjects::EngineSubject subject(load_model(folder, options.engine), hf::display_name(folder));
  require_causal(subject.model().card(), options.model);
  const perplexity::Windows windows = windows_of(options, subject.model().card());
  const auto reference = load_reference(options, folder, subject.model().backend());
  FileIds ids(source.name, *source.stream, load_tokenizer(folder), !options.text.no_special_tokens,
              subject.model().card().vocab);
  WorkerPool pool(options.engine.threads);
  perplexity::Result p = perplexity::run(subject, reference.get(), std::ref(ids), windows, pool,
                                         in_bytes(progress_bar(hf::display_name(folder)), ids, source.name));
  p.bytes = ids.bytes();
  options.output.write(options.output.told(p, kPerplexityForms));
  return holds;
}

}  // namespace

Command perplexity_command() {
  auto o = std::make_shared<PerplexityOptions>();
  Command command{.name = "perplexity",
                  .help = "How well a model predicts a text; what a number format costs",
                  .examples = {"pkv perplexity tiny-gpt2 --text-file story.txt",
                               "pkv perplexity ./my-model --text-file story.txt --stride 512 --output json",
                               "pkv perplexity tiny-falcon --text-file story.txt --dtype bf16 --against fp32",
                               "pkv perplexity tiny-gpt2 --text-file story.txt --load-in nf4 --against fp32",
                               "pkv perplexity tiny-mpt --text-file story.txt --dtype fp32 --past-dtype fp16 "
                               "--against fp32"},
                  .run = [o] { return run(*o); }};
  command.add(model_word(o->model));
  o->text.declare(command, {.text_help = "the text; -: stdin (default: what is piped in)"});
  command.remove("--ids");
  command.option("--text-file").help = "a file with the text, taken as it is, of any length; -: stdin";
  command.add(
      {{.name = "--against",
        .target = &o->against,
        .help = "compare with the same model in this number format",
        .check = one_of(load_in_names(), kFloatSpellings)},
       {.name = "--context", .target = &o->context, .help = "tokens of a window (default: the model's context)"},
       {.name = "--stride",
        .target = &o->stride,
        .help = "tokens from window to window (default: --context, no overlap)"},
       {.name = "--chunk",
        .target = &o->chunk,
        .help = "tokens fed in one call; bounds memory",
        .shows_default = true}});
  o->engine.declare(command);
  o->output.declare(command, kPerplexityForms);
  return command;
}

}  // namespace pkv::program
