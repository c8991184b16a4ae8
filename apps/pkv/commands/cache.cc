// pkv cache: which models of the Hub the disk holds, and how to be rid of them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>

#include "base/error.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "exit_code.h"
#include "files/hub/scan.h"
#include "models/hub.h"
#include "options/output.h"
#include "show/columns.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

struct RemoveOptions {
  std::vector<std::string> what;
  bool yes = false, dry_run = false;
};

std::string day_text(std::time_t time) {
  if (time == 0) return "never";
  std::tm parts{};
  ::localtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

// "main v1.0", or the beginning of the commit where nothing names it.
std::string revision_text(const hub::CachedRevision& revision) {
  return revision.refs.empty() ? revision.commit.substr(0, 12) : fmt::format("{}", fmt::join(revision.refs, " "));
}

std::string revisions_text(const hub::CachedModel& model) {
  std::vector<std::string> names;
  for (const auto& revision : model.revisions) names.push_back(revision_text(revision));
  if (names.empty()) return model.incomplete_bytes != 0 ? "(incomplete)" : "(none)";
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  constexpr std::size_t kWidth = 28;
  if (text.size() <= kWidth) return text;
  return fmt::format("{} revisions", names.size());
}

std::string as_table(const hub::CacheScan& found, const std::filesystem::path& cache, const OutputOptions& output) {
  if (found.models.empty()) return fmt::format("no models in {}\n", home_relative(cache));
  std::uint64_t total = 0;
  std::vector<std::vector<std::string>> rows{{"model", "size", "last used", "revisions"}};
  for (const auto& model : found.models) {
    const std::uint64_t bytes = model.bytes + model.incomplete_bytes;
    total += bytes;
    rows.push_back({model.repo, megabytes(bytes), day_text(model.last_used), revisions_text(model)});
  }
  rows.push_back({"total", megabytes(total), "", ""});
  return output.table(rows, {true, false, true, true}) + fmt::format("in {}\n", home_relative(cache));
}

void write_revision(JsonWriter& json, const hub::CachedRevision& revision) {
  json.object([&] {
    json.member("commit", revision.commit);
    json.member("refs", revision.refs);
    json.member("bytes", revision.bytes);
    json.member("files", revision.files);
  });
}

void write_model(JsonWriter& json, const hub::CachedModel& model) {
  json.object([&] {
    json.member("model", model.repo);
    json.member("folder", model.folder.string());
    json.member("bytes", model.bytes);
    json.member("bytes_incomplete", model.incomplete_bytes);
    json.member("last_used", model.last_used == 0 ? std::optional<std::int64_t>() : model.last_used);
    json.array("revisions", [&] {
      for (const auto& revision : model.revisions) write_revision(json, revision);
    });
  });
}

std::string as_json(const hub::CacheScan& found, const std::filesystem::path& cache) {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-cache/1");
  json.member("folder", cache.string());
  json.array("models", [&] {
    for (const auto& model : found.models) write_model(json, model);
  });
  json.close_object();
  return json.text() + "\n";
}

int list(const OutputOptions& output) {
  const std::filesystem::path cache = hub_settings().cache;
  const hub::CacheScan found = hub::scan(cache);
  for (const std::string& line : found.notes) note(line);
  output.write(output.is(Form::json) ? as_json(found, cache) : as_table(found, cache, output));
  return holds;
}

bool confirmed() {
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) {
    fail_usage({.what = "this removes files, and there is nobody to ask", .hint = "--yes, or --dry-run to look first"});
  }
  say("remove them? [y/N] ");
  std::fflush(stderr);
  const int first = std::getchar();
  for (int c = first; c != '\n' && c != EOF;) c = std::getchar();
  return first == 'y' || first == 'Y';
}

int remove(const RemoveOptions& options) {
  const std::filesystem::path cache = hub_settings().cache;
  const hub::Removal removal = hub::plan_removal(hub::scan(cache), cache, options.what);
  const OutputOptions output;
  output.write(fmt::format("{}\n", fmt::join(removal.revisions, "\n")));
  if (options.dry_run) {
    output.write(fmt::format("would free {}\n", megabytes(removal.bytes)));
    return holds;
  }
  if (!options.yes && !confirmed()) {
    note("nothing was removed");
    return holds;
  }
  hub::remove(removal);
  output.write(fmt::format("freed {}\n", megabytes(removal.bytes)));
  return holds;
}

int verify(const std::vector<std::string>& what) {
  const hub::CacheScan found = hub::scan(hub_settings().cache);
  for (const std::string& line : found.notes) note(line);
  const auto blobs = hub::blobs_of(found, what);
  std::int64_t total = 0, done = 0;
  std::size_t damaged = 0, unnamed = 0;
  for (const auto& blob : blobs) {
    std::error_code gone;  // then it cannot be read below
    total += static_cast<std::int64_t>(std::filesystem::file_size(blob, gone));
  }
  const OutputOptions output;
  const Progress bar = progress_bar("verifying");
  const auto read = [&](std::uint64_t bytes) {
    done += static_cast<std::int64_t>(bytes);
    if (bar) bar(done, total);
  };
  for (const auto& blob : blobs) {
    const std::string digest = hub::digest_of_blob(blob, read);
    if (digest.empty()) {
      ++unnamed;
    } else if (digest != blob.filename()) {
      ++damaged;
      clear_progress();
      output.write(fmt::format("{}: damaged, for its digest is {}\n", blob.string(), digest));
    }
  }
  clear_progress();
  if (unnamed > 0) note(fmt::format("not verified, for the name is no digest: {}", show::counted(unnamed, "file")));
  output.write(fmt::format("{} verified, {} damaged\n", show::counted(std::ssize(blobs) - unnamed, "file"), damaged));
  if (damaged > 0) note("remove what is damaged; pkv download fetches it anew");
  return damaged == 0 ? holds : does_not_hold;
}

Command list_command() {
  auto o = std::make_shared<OutputOptions>();
  Command command{.name = "list",
                  .help = "Which models the cache holds",
                  .examples = {"pkv cache list", "pkv cache list --output json"},
                  .run = [o] { return list(*o); }};
  o->declare(command, {Form::table, Form::json});
  return command;
}

Command remove_command() {
  auto o = std::make_shared<RemoveOptions>();
  Command command{.name = "remove",
                  .help = "Take models or revisions out of the cache",
                  .notes = "Files that another revision uses stay. Nothing outside the cache is touched.",
                  .examples = {"pkv cache remove gpt2", "pkv cache remove mosaicml/mpt-7b@main --dry-run"},
                  .run = [o] { return remove(*o); }};
  command.add({{.name = "WHAT", .target = &o->what, .help = "a model, model@revision, or a commit", .required = true},
               {.name = "-y,--yes", .target = &o->yes, .help = "do not ask"},
               {.name = "--dry-run", .target = &o->dry_run, .help = "say what would be removed"}});
  return command;
}

Command verify_command() {
  auto what = std::make_shared<std::vector<std::string>>();
  Command command{.name = "verify",
                  .help = "Are the files what their digests say?",
                  .notes = "Reads every byte, and asks nobody. Exit code 1 when a file is damaged.",
                  .examples = {"pkv cache verify mosaicml/mpt-7b"},
                  .run = [what] { return verify(*what); }};
  command.add(
      {.name = "WHAT", .target = what.get(), .help = "a model, model@revision, or a commit (default: all there are)"});
  return command;
}

}  // namespace

Command cache_command() {
  return {.name = "cache",
          .help = "Models of the Hub on this disk",
          .notes =
              "The cache is huggingface_hub's: HF_HUB_CACHE, else $HF_HOME/hub, else\n"
              "~/.cache/huggingface/hub.",
          .examples = {"pkv cache list", "pkv cache remove gpt2"},
          .commands = {list_command(), remove_command(), verify_command()}};
}

}  // namespace pkv::program
