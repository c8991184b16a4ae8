// What the commands of the program share: how a command is registered, the options that several of them take, and where
// results go. Results are written to stdout (or --output-file), progress and notes to stderr.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "engine/model/model.h"
#include "engine/model/past_file.h"
#include "text/text.h"

namespace pkv::program {

// What the program will do once the command line is read; gives the exit code.
using Action = std::function<int()>;

// Each adds its subcommand; when that is chosen, `action` is set.
void add_check(CLI::App& app, Action& action);
void add_review(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_perplexity(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_article(CLI::App& app, Action& action);
void add_generate(CLI::App& app, Action& action);
void add_past(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_download(CLI::App& app, Action& action);
void add_cache(CLI::App& app, Action& action);

enum ExitCode {
  holds = 0,
  does_not_hold = 1,
  bad_usage = 2,
  cannot_load = 3,
  internal_error = 4,
};
ExitCode code_of(Error::Kind kind);

inline constexpr const char* kNoSpecialTokens = "do not add the tokenizer's special tokens (<s>, </s>)";

// --text, --text-file and --ids, at most one of them.
struct TextOptions {
  static constexpr std::string_view kArticle = "I like to eat";
  std::optional<std::string> text, file, ids;
  bool no_special_tokens = false;

  void add(CLI::App& command);
};

// A text of at most 256 MiB, as it is; "-" is stdin. Error::load when it cannot be read or is longer.
std::string read_text(const std::string& file);

struct Input {
  std::string text;  // empty when ids were given
  std::vector<std::int32_t> ids;
};
Input read_input(const TextOptions& options, const std::filesystem::path& model);
std::vector<std::int32_t> parse_ids(std::string_view list, std::string_view option);

// Of a number. CLI11's own says what is allowed with 309 digits.
CLI::Validator at_least(int least);

// An option that takes a number format of weights or of pasts. Both must outlive the parsing.
void add_dtype(CLI::App& command, const std::string& name, std::optional<DType>& dtype, const std::string& what);

// The number formats that a model can be loaded in, and what each means to `load`.
inline const std::vector<std::string> kLoadIn{"fp32", "fp16", "bf16", "int8", "fp4", "nf4"};
void set_load_in(model::LoadOptions& options, const std::string& name);

// --backend, --threads, --dtype, --past-dtype, and --load-in with what belongs to it.
struct EngineOptions {
  std::string backend = "cpu";
  int threads = 0;
  model::LoadOptions formats;
  std::string load_in;
  bool double_quant = false;
  std::optional<std::int64_t> block_size;
  std::vector<std::string> skip;
  std::optional<float> int8_threshold;
  std::string int8_outliers = "row";
  std::string as;  // an implementation whose faults the engine takes over

  void add(CLI::App& command);
  void add_load_in(CLI::App& command, const std::vector<std::string>& names, const std::string& what);
  void add_threads(CLI::App& command);
  void add_backend(CLI::App& command);  // with --threads
  void add_as(CLI::App& command);
  // Error::usage when the options contradict each other, or nothing is called `as` that.
  model::LoadOptions load_options() const;
  kernels::Backend open() const { return kernels::Backend(backend, threads); }
};

enum class Format { table, json, csv, md, html, junit };

// --output and --output-file.
struct OutputOptions {
  Format format = Format::table;
  std::string file;

  void add(CLI::App& command, const std::vector<std::string>& formats);
  bool colour() const;                      // a terminal that wants it
  void write(std::string_view text) const;  // Error when it cannot be written
};

std::string megabytes(std::uint64_t bytes);  // "2.7 MB", "14.5 GB"

// The folder that MODEL means: a path, the name of a bundled model, or that of a model of the Hugging Face Hub, which
// is downloaded unless the cache holds it.
std::filesystem::path find_model(const std::string& model);
std::vector<std::filesystem::path> bundled_models();  // Error when there are none

using hf::display_name;

// Each loads and prints the notes. Error::usage when `tokens` go beyond the model's context.
model::Model load_model(const std::filesystem::path& folder, const EngineOptions& options);
text::Tokenizer load_tokenizer(const std::filesystem::path& folder);
void require_context(const model::Card& card, std::int64_t tokens, bool beyond_context);

// --past-file, and what to do when the file there does not fit.
struct SavedPastOptions {
  std::string file;
  bool ignore_unfit = false, trust_blocks = false, hash_weights = false;

  void add(CLI::App& command);
  model::PastFileOptions past_file_options(int threads) const;

  // The saved past of the longest beginning of `prompt`, with a note on how much of it is used; none, with a note that
  // says why, when it does not fit and that is to be ignored. Error::load when it does not fit.
  std::optional<model::Restored> restore(const model::Model& model, std::span<const std::int32_t> prompt,
                                         int threads) const;
};

// A progress bar on stderr, when that is a terminal; otherwise an empty callback. Cleared when done.
Progress progress_bar(std::string label);
void show_progress(std::string_view line);  // in the place of the line shown before
void clear_progress();                      // before anything else is written to the terminal
std::string duration_text(double seconds);  // "8 s", "2 min 5 s", "1 h 12 min"

// On stderr as it is, at once. Where it cannot be written, nobody is there to be told: that is no error.
void say(std::string_view text);
void note(std::string_view text);             // one line on stderr
std::string in_one_line(const Error& error);  // what went wrong, and what was expected and found

// Descriptions of options broken into lines that fit the terminal: 80 columns where there is none.
std::shared_ptr<CLI::Formatter> help_formatter();

}  // namespace pkv::program
