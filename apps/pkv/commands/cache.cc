// pkv cache: which models of the Hub the disk holds, and how to be rid of them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "files/hub/scan.h"
#include "hub.h"
#include "program.h"
#include "show/columns.h"
#include "show/dumped.h"

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

std::string as_table(const hub::CacheScan& found, const std::filesystem::path& cache) {
  if (found.models.empty()) return fmt::format("no models in {}\n", home_relative(cache));
  std::size_t width = 5;
  std::uint64_t total = 0;
  for (const auto& model : found.models) {
    width = std::max(width, model.repo.size());
    total += model.bytes + model.incomplete_bytes;
  }
  std::string text = fmt::format("{:<{}}  {:>9}  {:<10}  {}\n", "model", width, "size", "last used", "revisions");
  for (const auto& model : found.models) {
    text +=
        fmt::format("{:<{}}  {:>9}  {:<10}  {}\n", model.repo, width, megabytes(model.bytes + model.incomplete_bytes),
                    day_text(model.last_used), revisions_text(model));
  }
  return text + fmt::format("{:<{}}  {:>9}  in {}\n", "total", width, megabytes(total), home_relative(cache));
}

std::string as_json(const hub::CacheScan& found, const std::filesystem::path& cache) {
  nlohmann::ordered_json j{{"schema", "pkv-cache/1"}, {"folder", cache.string()}};
  j["models"] = nlohmann::ordered_json::array();
  for (const auto& model : found.models) {
    nlohmann::ordered_json m{
        {"model", model.repo},
        {"folder", model.folder.string()},
        {"bytes", model.bytes},
        {"bytes_incomplete", model.incomplete_bytes},
        {"last_used", model.last_used == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(model.last_used)}};
    m["revisions"] = nlohmann::ordered_json::array();
    for (const auto& revision : model.revisions) {
      m["revisions"].push_back(
          {{"commit", revision.commit}, {"refs", revision.refs}, {"bytes", revision.bytes}, {"files", revision.files}});
    }
    j["models"].push_back(std::move(m));
  }
  return show::dumped(j);
}

int list(const OutputOptions& output) {
  const std::filesystem::path cache = hub_settings().cache;
  const hub::CacheScan found = hub::scan(cache);
  for (const std::string& line : found.notes) note(line);
  output.write(output.format == Format::json ? as_json(found, cache) : as_table(found, cache));
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

void add_list(CLI::App& cache, Action& action) {
  auto output = std::make_shared<OutputOptions>();
  CLI::App* command = cache.add_subcommand("list", "Which models the cache holds");
  output->add(*command, {"table", "json"});
  command->footer(
      "\nExamples:\n"
      "  pkv cache list\n"
      "  pkv cache list --output json\n");
  command->callback([output, &action] { action = [output] { return list(*output); }; });
}

void add_remove(CLI::App& cache, Action& action) {
  auto options = std::make_shared<RemoveOptions>();
  CLI::App* command = cache.add_subcommand("remove", "Take models or revisions out of the cache");
  command->add_option("WHAT", options->what, "a model, model@revision, or a commit")->required();
  command->add_flag("-y,--yes", options->yes, "do not ask");
  command->add_flag("--dry-run", options->dry_run, "say what would be removed");
  command->footer(
      "\nFiles that another revision uses stay. Nothing outside the cache is touched.\n"
      "\nExamples:\n"
      "  pkv cache remove gpt2\n"
      "  pkv cache remove mosaicml/mpt-7b@main --dry-run\n");
  command->callback([options, &action] { action = [options] { return remove(*options); }; });
}

void add_verify(CLI::App& cache, Action& action) {
  auto what = std::make_shared<std::vector<std::string>>();
  CLI::App* command = cache.add_subcommand("verify", "Are the files what their digests say?");
  command->add_option("WHAT", *what, "a model, model@revision, or a commit (default: all there are)");
  command->footer(
      "\nReads every byte, and asks nobody. Exit code 1 when a file is damaged.\n"
      "\nExample:\n"
      "  pkv cache verify mosaicml/mpt-7b\n");
  command->callback([what, &action] { action = [what] { return verify(*what); }; });
}

}  // namespace

void add_cache(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("cache", "Models of the Hub on this disk");
  command->require_subcommand(1);
  command->footer(
      "\nThe cache is huggingface_hub's: HF_HUB_CACHE, else $HF_HOME/hub, else\n"
      "~/.cache/huggingface/hub.\n"
      "\nExamples:\n"
      "  pkv cache list\n"
      "  pkv cache remove gpt2\n");
  add_list(*command, action);
  add_remove(*command, action);
  add_verify(*command, action);
}

}  // namespace pkv::program
