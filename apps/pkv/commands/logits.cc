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

// The tokens after the saved ones, where there is a saved past, are fed in one piece.
int run(const LogitsOptions& options) {
  require_writable(options.output_file);
  const std::filesystem::path folder = find_model(options.model);
  subjects::EngineSubject subject(load_model(folder, options.engine), display_name(folder), {.as = options.engine.as});
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), std::ssize(input.ids), options.beyond_context);
  check::Recording r{.description = subject.describe(), .past_file = options.past.file};
  std::unique_ptr<session::Session> session;
  if (r.past_file.empty()) {
    r.text = input.text;
  } else if (auto restored = options.past.restore(subject.model(), input.ids, options.engine.threads)) {
    r.past_tokens = restored->past.length();
    session = subject.going_on(std::move(restored->past));
  }
  if (session == nullptr) session = subject.fresh();
  r.ids.assign(input.ids.begin() + r.past_tokens, input.ids.end());
  std::span<const std::int32_t> rest(r.ids);
  for (const std::int64_t n : piece_lengths(options, r.ids.size())) {
    const session::Logits logits = session->feed(rest.first(static_cast<std::size_t>(n)));
    r.logits.vocab = logits.vocab;
    r.logits.values.insert(r.logits.values.end(), logits.values.begin(), logits.values.end());
    rest = rest.subspan(static_cast<std::size_t>(n));
    r.pieces.push_back(n);
    r.past_lengths.push_back(session->length());
  }
  if (r.past_tokens > 0) r.pieces.clear(), r.past_lengths.clear();  // they are of the tokens recorded
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
