// pkv logits: the logits of a text as a file that `pkv check --recorded` and other programs read.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "program.h"
#include "subjects/engine.h"
#include "subjects/recorded.h"

namespace pkv::program {
namespace {

struct LogitsOptions {
  std::string model, output_file, pieces;
  TextOptions text;
  EngineOptions engine;
  SavedPastOptions past;
  bool beyond_context = false;
};

std::vector<std::int64_t> piece_lengths(const LogitsOptions& options, std::size_t tokens) {
  if (options.pieces.empty()) return {static_cast<std::int64_t>(tokens)};
  const auto ids = parse_ids(options.pieces, "--pieces");
  const std::vector<std::int64_t> pieces(ids.begin(), ids.end());
  const std::int64_t sum = std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0});
  if (sum != static_cast<std::int64_t>(tokens) || std::count(pieces.begin(), pieces.end(), 0) > 0) {
    fail_usage({.what = "the pieces do not make up the text",
                .where = "--pieces",
                .expected = fmt::format("lengths above 0 whose sum is {}", tokens),
                .found = options.pieces});
  }
  return pieces;
}

// The logits of what comes after the saved tokens.
int run_from_past(const LogitsOptions& options) {
  const std::filesystem::path folder = find_model(options.model);
  const model::Model model = load_model(folder, options.engine);
  const Input input = read_input(options.text, folder);
  require_context(model.card(), std::ssize(input.ids), options.beyond_context);
  std::optional<model::Restored> restored = options.past.restore(model, input.ids, options.engine.threads);
  model::Past past = restored ? std::move(restored->past) : model.new_past();
  const std::int64_t first = past.length();
  const model::Feed feed{.ids = std::span(input.ids).subspan(static_cast<std::size_t>(first)), .past = &past};
  const model::Logits logits = model.forward({&feed, 1});
  const std::vector<std::int64_t> ids(feed.ids.begin(), feed.ids.end());
  const std::vector<hf::Tensor> tensors{
      {.name = "ids", .dtype = DType::i64, .shape = {std::ssize(ids)}, .data = std::as_bytes(std::span(ids))},
      {.name = "logits",
       .dtype = DType::f32,
       .shape = {std::ssize(ids), logits.view()[1]},
       .data = std::as_bytes(logits.span<float>())}};
  hf::write_safetensors(options.output_file, tensors,
                        {{"model", display_name(folder)},
                         {"family", model.card().family},
                         {"backend", "pkv " + model.backend().device().describe()},
                         {"format", std::string(model.weights().format())},
                         {"past_format", std::string(name_of(model.past_dtype()))},
                         {"past_file", options.past.file},
                         {"past_tokens", std::to_string(first)}});
  return holds;
}

int run(const LogitsOptions& options) {
  require_writable(options.output_file);
  if (!options.past.file.empty()) return run_from_past(options);
  const std::filesystem::path folder = find_model(options.model);
  subjects::EngineSubject subject(load_model(folder, options.engine), display_name(folder), options.engine.as);
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), static_cast<std::int64_t>(input.ids.size()), options.beyond_context);
  check::Recording r{.description = subject.describe(), .text = input.text, .ids = input.ids};
  r.pieces = piece_lengths(options, input.ids.size());
  const auto session = subject.fresh();
  std::size_t at = 0;
  for (const std::int64_t n : r.pieces) {
    const session::Logits logits = session->feed(std::span(input.ids).subspan(at, static_cast<std::size_t>(n)));
    r.logits.vocab = logits.vocab;
    r.logits.values.insert(r.logits.values.end(), logits.values.begin(), logits.values.end());
    r.past_lengths.push_back(session->length());
    at += static_cast<std::size_t>(n);
  }
  subjects::write_recording(options.output_file, r);
  return holds;
}

}  // namespace

void add_logits(CLI::App& app, Action& action) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand("logits", "Write a text's logits to a safetensors file");
  command->add_option("MODEL", options->model, "a folder, a bundled model, or a Hub model")->required();
  options->text.add(*command);
  options->engine.add(*command);
  options->engine.add_as(*command);
  command->add_option("--pieces", options->pieces, "feed the text in pieces of these lengths: 3,1 (default: in one)");
  options->past.add(*command);
  command->get_option("--past-file")->excludes("--as")->excludes("--pieces");
  command->add_flag("--beyond-context", options->beyond_context,
                    "allow a text longer than an ALiBi or rotary model was trained for");
  command->add_option("--output-file", options->output_file, "the file to write")->required();
  command->footer(
      "\nThe file holds ids [n] int64, logits [n, vocab] float32, and metadata: model, format, backend, ...\n"
      "With --past-file both are of the tokens after the saved ones, whose number is past_tokens.\n"
      "\nExamples:\n"
      "  pkv logits tiny-gpt2 --text \"I like to eat\" --output-file without.safetensors\n"
      "  pkv logits tiny-gpt2 --text \"I like to eat\" --pieces 3,1 --output-file with.safetensors\n"
      "  pkv logits tiny-gpt2 --load-in fp4 --block-size 128 --output-file fp4.safetensors\n");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace pkv::program
