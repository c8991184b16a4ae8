// pkv tokenize: text to ids and back, as the model's tokenizer does it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "program.h"

namespace pkv::program {
namespace {

struct TokenizeOptions {
  std::string model;
  TextOptions text;
  OutputOptions output;
  bool decode = false, skip_special_tokens = false;
};

// --text, --text-file, or else stdin.
std::string read_source(const TokenizeOptions& options) {
  if (options.text.text) return *options.text.text;
  if (options.text.file) return read_file(*options.text.file, 1u << 30);
  return read_text("-");
}

void note_unknown(const text::Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::set<std::int32_t> unknown;
  for (const std::int32_t id : ids) {
    if (!tokenizer.has(id)) unknown.insert(id);
  }
  if (!unknown.empty()) note(fmt::format("ids that are no tokens give no text: {}", fmt::join(unknown, ", ")));
}

int run(const TokenizeOptions& options) {
  const text::Tokenizer tokenizer = load_tokenizer(find_model(options.model));
  std::vector<std::int32_t> ids;
  if (options.text.ids) {
    ids = parse_ids(*options.text.ids, "--ids");
  } else if (options.decode) {
    ids = parse_ids(read_source(options), "the ids to decode");
  } else {
    ids = tokenizer.encode(read_source(options), !options.text.no_special_tokens);
  }
  nlohmann::json json{{"ids", ids}};
  std::string plain;
  if (options.decode) {
    note_unknown(tokenizer, ids);
    plain = tokenizer.decode(ids, options.skip_special_tokens);
    json["text"] = plain;
  } else {
    json["tokens"] = nlohmann::json::array();
    for (const std::int32_t id : ids) json["tokens"].push_back(tokenizer.token(id));
    plain = fmt::format("{}", fmt::join(ids, " "));
  }
  const bool as_json = options.output.format == Format::json;
  options.output.write((as_json ? json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : plain) + "\n");
  return holds;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids, or back");
  command->add_option("MODEL", options->model, "a folder, a bundled model, or a Hub model")->required();
  options->text.add(*command);
  command->get_option("--text")->description("the text (default: read from stdin)");
  command->add_flag("--decode", options->decode, "ids to text: ids from --ids, --text, --text-file or stdin");
  command->add_flag("--skip-special-tokens", options->skip_special_tokens, "leave special tokens out of decoded text");
  options->output.add(*command, {"table", "json"});
  command->footer(
      "\nExamples:\n"
      "  pkv tokenize tiny-gpt2 --text \"I like to eat\"\n"
      "  pkv tokenize tiny-gpt2 --output json < story.txt\n"
      "  pkv tokenize tiny-gpt2 --decode --ids 40,12,7\n");
  command->callback([options, &action] {
    if (options->text.ids && !options->decode) throw CLI::ValidationError("--ids", "is for --decode");
    action = [options] { return run(*options); };
  });
}

}  // namespace pkv::program
