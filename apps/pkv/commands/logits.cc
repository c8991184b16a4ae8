// pkv logits: the logits of a text as a file that `pkv check --recorded` and other programs read.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "program.h"
#include "subjects/engine.h"
#include "subjects/recorded.h"

namespace pkv::program {
namespace {

struct LogitsOptions {
  std::string model, output_file, pieces;
  TextOptions text;
  EngineOptions engine;
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

int run(const LogitsOptions& options) {
  const std::filesystem::path folder = find_model(options.model);
  EngineSubject subject(load_model(folder, options.engine), display_name(folder), options.engine.as);
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), static_cast<std::int64_t>(input.ids.size()), options.beyond_context);
  check::Recording r{.description = subject.describe(), .text = input.text, .ids = input.ids};
  r.pieces = piece_lengths(options, input.ids.size());
  const auto session = subject.fresh();
  std::size_t at = 0;
  for (const std::int64_t n : r.pieces) {
    const check::Logits logits = session->feed(std::span(input.ids).subspan(at, static_cast<std::size_t>(n)));
    r.logits.vocab = logits.vocab;
    r.logits.values.insert(r.logits.values.end(), logits.values.begin(), logits.values.end());
    r.past_lengths.push_back(session->length());
    at += static_cast<std::size_t>(n);
  }
  write_recording(options.output_file, r);
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
  command->add_flag("--beyond-context", options->beyond_context,
                    "allow a text longer than an ALiBi or rotary model was trained for");
  command->add_option("--output-file", options->output_file, "the file to write")->required();
  command->footer(
      "\nThe file holds ids [n] int64, logits [n, vocab] float32, and metadata: model, format, backend, ...\n"
      "\nExamples:\n"
      "  pkv logits tiny-gpt2 --text \"I like to eat\" --output-file without.safetensors\n"
      "  pkv logits tiny-gpt2 --text \"I like to eat\" --pieces 3,1 --output-file with.safetensors\n"
      "  pkv logits tiny-gpt2 --load-in fp4 --block-size 128 --output-file fp4.safetensors\n");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace pkv::program
