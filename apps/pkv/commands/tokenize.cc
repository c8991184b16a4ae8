// pkv tokenize: text to ids and back, as the model's tokenizer does it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <set>

#include "base/error.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "exit_code.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/output.h"
#include "options/shared.h"
#include "options/text.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

struct TokenizeOptions {
  std::string model;
  TextOptions text;
  OutputOptions output;
  bool decode = false, skip_special_tokens = false;
};

// --text, --text-file, or else stdin: a text, or ids.
std::string read_source(const TokenizeOptions& options) {
  const TextOptions& given = options.text;
  if (given.text && *given.text != "-") return *given.text;
  if (!given.text && !given.file) has_own_stdin();  // or refuses to eat a loop's list
  const std::string file = given.file.value_or("-");
  return options.decode ? read_bytes(file) : read_text(file);
}

void note_unknown(const text::Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::set<std::int32_t> unknown;
  for (const std::int32_t id : ids) {
    if (!tokenizer.has(id)) unknown.insert(id);
  }
  if (!unknown.empty()) note(fmt::format("ids that are no tokens give no text: {}", fmt::join(unknown, ", ")));
}

int run(const TokenizeOptions& options) {
  const std::filesystem::path folder = find_model(options.model);
  const text::Tokenizer tokenizer = load_tokenizer(folder);
  std::vector<std::int32_t> ids;
  if (options.text.ids) {
    ids = options.text.read_ids();
  } else if (options.decode) {
    ids = parse_ids(read_source(options), "the ids to decode");
  } else {
    ids = tokenizer.encode(read_source(options), !options.text.no_special_tokens);
  }
  JsonWriter json(JsonWriter::kOneLine);
  json.open_object();
  json.member("model", hf::display_name(folder));
  json.member("ids", ids);
  std::string plain;
  if (options.decode) {
    note_unknown(tokenizer, ids);
    plain = tokenizer.decode(ids, options.skip_special_tokens);
    json.member("text", plain);
  } else {
    json.array("tokens", [&] {
      for (const std::int32_t id : ids) json.value(tokenizer.token(id));
    });
    plain = fmt::format("{}", fmt::join(ids, " "));
  }
  json.close_object();
  options.output.write((options.output.is(Form::json) ? json.text() : plain) + "\n");
  return holds;
}

}  // namespace

Command tokenize_command() {
  auto o = std::make_shared<TokenizeOptions>();
  Command command{
      .name = "tokenize",
      .help = "Text to token ids, or back",
      .examples = {"pkv tokenize tiny-gpt2 --text \"I like to eat\"",
                   "pkv tokenize tiny-gpt2 --output json < story.txt", "pkv tokenize tiny-gpt2 --decode --ids 40,12,7"},
      .misuse =
          [o](auto) {
            if (!o->text.ids || o->decode) return;
            fail_usage({.what = "is for --decode", .where = "--ids", .hint = "--text, or --decode --ids 1,2,3"});
          },
      .run = [o] { return run(*o); }};
  command.add(model_word(o->model));
  o->text.declare(command, {.text_help = "the text; -: stdin (default: stdin)"});
  command.add(
      {{.name = "--decode", .target = &o->decode, .help = "ids to text: ids from --ids, --text, --text-file or stdin"},
       {.name = "--skip-special-tokens",
        .target = &o->skip_special_tokens,
        .help = "leave special tokens out of decoded text"}});
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace pkv::program
