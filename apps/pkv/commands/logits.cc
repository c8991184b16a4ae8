// pkv logits: the logits of a text as a file that `pkv check --recorded` and other programs read.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "commands/commands.h"
#include "engine/model/model.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "models/restore.h"
#include "options/engine.h"
#include "options/saved_past.h"
#include "options/shared.h"
#include "options/text.h"
#include "show/columns.h"
#include "subjects/engine.h"
#include "subjects/recorded.h"
#include "terminal/say.h"

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
  subjects::EngineSubject subject(load_model(folder, options.engine), hf::display_name(folder),
                                  {.as = options.engine.as});
  const Input input = read_input(options.text, folder);
  require_context(subject.model().card(), std::ssize(input.ids), options.beyond_context);
  check::Recording r{.description = subject.describe(), .past_file = options.past.file};
  std::unique_ptr<session::Session> session;
  if (r.past_file.empty()) {
    r.text = input.text;
  } else if (auto restored = restore(options.past, subject.model(), input.ids, options.engine.threads)) {
    r.past_tokens = restored->past.length();
    session = subject.resume(std::move(restored->past));
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
  subjects::write_recording(options.output_file, r);
  note(fmt::format("logits of {} written to {}", show::counted(std::ssize(r.ids), "token"), options.output_file));
  return holds;
}

}  // namespace

Command logits_command() {
  auto o = std::make_shared<LogitsOptions>();
  Command command{.name = "logits",
                  .help = "Write a text's logits to a safetensors file",
                  .notes =
                      "The file holds ids [n] int64, logits [n, vocab] float32, and metadata: model, format, "
                      "backend, ...\n"
                      "With --past-file both are of the tokens after the saved ones, whose number is past_tokens.",
                  .examples = {"pkv logits tiny-gpt2 --text \"I like to eat\" --output-file without.safetensors",
                               "pkv logits tiny-gpt2 --text \"I like to eat\" --pieces 3,1 --output-file "
                               "with.safetensors",
                               "pkv logits tiny-gpt2 --load-in fp4 --block-size 128 --output-file fp4.safetensors"},
                  .run = [o] { return run(*o); }};
  command.add(model_word(o->model));
  o->text.declare(command);
  o->engine.declare(command);
  o->engine.declare_as(command);
  command.add({.name = "--pieces",
               .target = &o->pieces,
               .help = "feed the text in pieces of these lengths: 3,1 (default: in one)"});
  o->past.declare(command, {"--as", "--pieces"});
  command.add({beyond_context(o->beyond_context),
               {.name = "-o,--output-file", .target = &o->output_file, .help = "the file to write", .required = true}});
  return command;
}

}  // namespace pkv::program
