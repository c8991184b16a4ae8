// pkv perplexity: how well a model predicts a file of text, and how far a number format moves its predictions.
#include "checker/perplexity/perplexity.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "checker/perplexity/document.h"
#include "program.h"
#include "subjects/engine.h"

namespace pkv::program {
namespace {

constexpr std::size_t kPart = 64 << 10;  // bytes of the file read at once

struct PerplexityOptions {
  std::string model, file;
  bool no_special_tokens = false;
  std::optional<std::int64_t> context, stride;
  std::int64_t chunk = 512;
  std::string against;
  EngineOptions engine;
  OutputOptions output;
};

// The ids of a file, read part by part.
class FileIds {
 public:
  FileIds(const std::string& path, const text::Tokenizer& tokenizer, bool special)
      : path_(path), file_(path, std::ios::binary), reader_(tokenizer, special), part_(kPart, '\0') {
    if (!file_) fail_load({.what = "cannot read the file", .where = path});
    if (!reader_.streams()) note("this tokenizer's text cannot be cut safely: the whole file is held in memory");
  }

  bool operator()(std::vector<std::int32_t>& ids) {
    file_.read(part_.data(), static_cast<std::streamsize>(part_.size()));
    const auto got = static_cast<std::size_t>(file_.gcount());
    if (file_.bad()) fail_load({.what = "cannot read the file", .where = path_});
    bytes_ += got;
    const auto more = encode(std::string_view(part_).substr(0, got));
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
    throw Error(e.kind(), said);
  }

  std::string path_;
  std::ifstream file_;
  text::Tokenizer::Reader reader_;
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
  model::Model model = model::load(hf::Folder::open(folder), backend, formats);
  for (const std::string& line : model.notes()) note(fmt::format("--against {}: {}", options.against, line));
  return std::make_unique<subjects::EngineSubject>(std::move(model), display_name(folder));
}

std::string render(const perplexity::Result& p, const OutputOptions& output) {
  switch (output.format) {
    case Format::json:
      return perplexity::report_json(p);
    case Format::csv:
      return show::as_csv(perplexity::document(p));
    case Format::md:
      return show::as_markdown(perplexity::document(p));
    case Format::html:  // not offered
    case Format::junit:
    case Format::table:
      break;
  }
  return show::as_text(perplexity::document(p), output.colour());
}

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

int run(const PerplexityOptions& options) {
  require_writable(options.output.file);
  const std::filesystem::path folder = find_model(options.model);
  subjects::EngineSubject subject(load_model(folder, options.engine), display_name(folder));
  require_causal(subject.model().card(), options.model);
  const perplexity::Windows windows = windows_of(options, subject.model().card());
  const auto reference = load_reference(options, folder, subject.model().backend());
  FileIds ids(options.file, load_tokenizer(folder), !options.no_special_tokens);
  WorkerPool pool(options.engine.threads);
  perplexity::Result p = perplexity::run(subject, reference.get(), std::ref(ids), windows, pool,
                                         in_bytes(progress_bar(display_name(folder)), ids, options.file));
  p.bytes = ids.bytes();
  options.output.write(render(p, options.output));
  return holds;
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command = app.add_subcommand("perplexity", "How well a model predicts a text; what a number format costs");
  command->add_option("MODEL", options->model, "a folder, a bundled model, or a Hub model")->required();
  command->add_option("--text-file", options->file, "a file with the text, taken as it is, of any length")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_flag("--no-special-tokens", options->no_special_tokens, kNoSpecialTokens);
  command->add_option("--against", options->against, "compare with the same model in this number format")
      ->check(CLI::IsMember(kLoadIn));
  command->add_option("--context", options->context, "tokens of a window (default: the model's context)");
  command->add_option("--stride", options->stride, "tokens from window to window (default: --context, no overlap)");
  command->add_option("--chunk", options->chunk, "tokens fed in one call; bounds memory")->capture_default_str();
  options->engine.add(*command);
  options->output.add(*command, {"table", "json", "csv", "md"});
  command->footer(
      "\nExamples:\n"
      "  pkv perplexity tiny-gpt2 --text-file story.txt\n"
      "  pkv perplexity ./my-model --text-file story.txt --stride 512 --output json\n"
      "  pkv perplexity tiny-falcon --text-file story.txt --dtype bf16 --against fp32\n"
      "  pkv perplexity tiny-gpt2 --text-file story.txt --load-in nf4 --against fp32\n"
      "  pkv perplexity tiny-mpt --text-file story.txt --dtype fp32 --past-dtype fp16 --against fp32\n");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace pkv::program
