// pkv download: a model of the Hugging Face Hub into the cache, without running it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "exit_code.h"
#include "models/hub.h"
#include "options/output.h"
#include "options/shared.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

struct DownloadOptions {
  std::string model, revision;
  std::vector<std::string> include;
  bool dry_run = false;
  OutputOptions output;
};

std::string size_text(const std::optional<std::uint64_t>& size) {
  if (!size) return "?";
  return *size < 1'000'000 ? fmt::format("{:.1f} kB", static_cast<double>(*size) / 1e3) : megabytes(*size);
}

std::string as_table(const hub::Plan& plan, const OutputOptions& output) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& file : plan.files) {
    rows.push_back({file.name, size_text(file.size), file.cached ? "cached" : ""});
  }
  rows.push_back({"total", size_text(plan.bytes()), ""});
  rows.push_back({"to download", size_text(plan.missing()), ""});
  return output.table(rows, {true, false, true});
}

std::string as_json(const hub::Plan& plan, bool dry_run) {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-download/1");
  json.member("model", plan.id.repo);
  json.member("revision", plan.id.revision);
  json.member("commit", plan.commit);
  json.member("folder", plan.folder.string());
  if (!plan.gguf.empty()) json.member("gguf", plan.gguf.string());
  json.member("dry_run", dry_run);
  json.member("bytes", plan.bytes());
  json.member("bytes_downloaded", dry_run ? std::uint64_t{0} : plan.missing());
  json.array("files", [&] {
    for (const auto& file : plan.files) {
      json.object([&] {
        json.member("name", file.name);
        json.member("bytes", file.size);
        json.member("was_cached", file.cached);
      });
    }
  });
  json.close_object();
  return json.text() + "\n";
}

int run(const DownloadOptions& options) {
  hub::Id id = hub::parse_id(options.model);
  if (!options.revision.empty()) {
    if (options.model.find('@') != std::string::npos) {
      fail_usage({.what = "the revision is given twice", .found = options.model + " --revision " + options.revision});
    }
    id = hub::parse_id(options.model + "@" + options.revision);
  }
  if (!id.gguf.empty() && !options.include.empty()) {
    fail_usage({.what = "the files are chosen twice",
                .found = fmt::format("{} --include {}", options.model, options.include.front())});
  }
  const hub::Plan plan =
      download_from_hub(hub_settings(), id, {.include = options.include, .only_plan = options.dry_run});
  const bool json = options.output.is(Form::json);
  options.output.write(json              ? as_json(plan, options.dry_run)
                       : options.dry_run ? as_table(plan, options.output)
                                         : plan.model().string() + "\n");
  return holds;
}

}  // namespace

Command download_command() {
  auto o = std::make_shared<DownloadOptions>();
  Command command{
      .name = "download",
      .help = "Fetch a model of the Hugging Face Hub into the cache",
      .notes =
          "Prints the folder, or the GGUF file, which huggingface_hub finds too. A download that was broken\n"
          "off goes on where it ended. A revision that moved is fetched anew; other\n"
          "commands use what the cache holds without asking.\n\n"
          "Environment: HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE and\n"
          "more, as huggingface_hub reads them.",
      .examples = {"pkv download gpt2", "pkv download mosaicml/mpt-7b --dry-run",
                   "pkv download tiiuae/falcon-7b --include \"*.json\" --include \"tokenizer*\""},
      .run = [o] { return run(*o); }};
  command.add(
      {model_word(o->model,
                  "its name on the Hub: gpt2, mosaicml/mpt-7b@revision; of GGUF files organisation/name:Q4_K_M or "
                  "organisation/name/file.gguf"),
       {.name = "--revision", .target = &o->revision, .help = "a branch, a tag or a commit (default: main)"},
       {.name = "--include",
        .target = &o->include,
        .help = "only files that match: \"*.json\"; may be given again (default: what pkv needs: config, tokenizer, "
                "and weights in safetensors, or PyTorch's where there are no others)",
        .value = "GLOB"},
       {.name = "--dry-run", .target = &o->dry_run, .help = "say what would be fetched, and how big it is"}});
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace pkv::program
