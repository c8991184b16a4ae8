#include "files/hub/hub.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "files/gguf/gguf.h"
#include "files/hf/folder.h"
#include "files/hf/index.h"
#include "files/hub/choice.h"
#include "files/hub/client.h"
#include "files/hub/fetch.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

using Files = std::vector<RepoFile>;

std::vector<std::string> names_of(const Files& files) {
  std::vector<std::string> names;
  for (const RepoFile& file : files) names.push_back(file.name);
  return names;
}

// What the snapshot holds, as a listing: all there is to go by when nobody wrote down what the commit has.
Files files_in(const fs::path& snapshot) {
  Files files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(snapshot, error), end; !error && at != end; at.increment(error)) {
    if (std::error_code ignored; fs::is_regular_file(at->path(), ignored)) {
      files.push_back(
          {.name = at->path().lexically_relative(snapshot).string(), .size = {}, .git = {}, .sha256 = {}, .xet = {}});
    }
  }
  return files;
}

// The GGUF file that is meant with its other parts; empty when none is.
std::vector<std::string> gguf_files(const Id& id, std::span<const std::string> names) {
  if (id.gguf.empty() && !is_of_gguf(names)) return {};
  return choose_gguf(names, id.gguf);
}

struct Cached {
  fs::path folder, gguf;
  bool usable = false;    // config and weights are there
  bool complete = false;  // and the tokenizer, or it is known that there is none
};

bool all_there(const Cache& cache, const Id& id, std::string_view commit, const Files& files,
               std::vector<std::string> names) {
  return std::ranges::all_of(names, [&](const std::string& name) {
    const auto at = std::ranges::find(files, name, &RepoFile::name);
    return cache.has(id.repo, commit, name, at == files.end() ? std::optional<std::uint64_t>() : at->size);
  });
}

std::vector<std::string> parts_of(const fs::path& index) {
  const bool pytorch = index.filename().string().starts_with("pytorch_model");
  return hf::parse_index(read_file(index, hf::Index::kMaxFile), index.string(), pytorch ? ".bin" : ".safetensors")
      .shards;
}

bool has_weights(const Cache& cache, const Id& id, std::string_view commit, const Files& files, const Choice& choice) {
  if (choice.weights.empty() || !all_there(cache, id, commit, files, {choice.weights})) return false;
  if (!choice.indexed()) return true;
  const fs::path index = cache.snapshot(id.repo, commit) / choice.weights;
  try {
    return all_there(cache, id, commit, files, parts_of(index));
  } catch (const Error&) {
    return false;
  }
}

// A config that is damaged names none here: what opens the folder says so.
std::string weights_named_in(const fs::path& folder) {
  try {
    return hf::weights_named(hf::Config::open(folder / "config.json"));
  } catch (const Error&) {
    return {};
  }
}

Cached look_up(const Cache& cache, const Id& id) {
  const auto commit = cache.commit_of(id);
  if (!commit) return {};
  Cached found{.folder = cache.snapshot(id.repo, *commit)};
  const auto tree = cache.tree(id.repo, *commit);
  const Files files = tree ? *tree : files_in(found.folder);
  const std::vector<std::string> names = names_of(files);
  if (const std::vector<std::string> gguf = gguf_files(id, names); !gguf.empty()) {
    found.gguf = found.folder / gguf.front();
    found.usable = found.complete = all_there(cache, id, *commit, files, gguf);
    return found;
  }
  if (!id.gguf.empty()) return found;
  const Choice choice = choose(names, weights_named_in(found.folder));
  found.usable = cache.has(id.repo, *commit, "config.json") && has_weights(cache, id, *commit, files, choice);
  const bool no_tokenizer =
      cache.known_absent(id.repo, *commit, "tokenizer.json") && cache.known_absent(id.repo, *commit, "vocab.json");
  found.complete = found.usable &&
                   (tree ? all_there(cache, id, *commit, files, choice.files) : choice.has_tokenizer || no_tokenizer);
  return found;
}

// A download under way.
class Download {
 public:
  Download(const Settings& settings, const Id& id, const Wish& wish, const Callbacks& callbacks)
      : settings_(settings),
        cache_(settings.cache, settings.symlinks),
        wish_(wish),
        callbacks_(callbacks),
        client_(settings, never_, callbacks.note) {
    plan_.id = id;
  }

  Plan run() {
    list();
    choose_files();
    if (callbacks_.plan) callbacks_.plan(plan_);
    if (wish_.only_plan) return plan_;
    require_space(cache_, plan_.id, plan_.missing());
    fetch_all();
    if (fresh_tree_) cache_.remember_tree(plan_.id.repo, plan_.commit, files_);
    for (const std::string& name : absent_) cache_.remember_absent(plan_.id.repo, plan_.commit, name);
    cache_.remember_commit(plan_.id, plan_.commit);
    return plan_;
  }

 private:
  // The commit that everything is taken from, and its files.
  void list() {
    const RepoInfo info = client_.info(plan_.id);
    plan_.commit = info.commit;
    plan_.folder = cache_.snapshot(plan_.id.repo, plan_.commit);
    if (auto known = cache_.tree(plan_.id.repo, plan_.commit)) {
      files_ = std::move(*known);
    } else if (auto tree = client_.tree(plan_.id, plan_.commit)) {
      files_ = std::move(*tree);
      fresh_tree_ = std::ranges::all_of(files_, [](const RepoFile& file) { return file.size.has_value(); });
    } else {
      for (const std::string& name : info.files)
        files_.push_back({.name = name, .size = {}, .git = {}, .sha256 = {}, .xet = {}});
    }
  }

  void choose_files() {
    const std::vector<std::string> names = names_of(files_);
    if (!wish_.include.empty()) {
      for (const std::string& name : matching(names, wish_.include)) add(name);
      if (plan_.files.empty()) {
        fail_load({.what = "no file of the model fits the patterns",
                   .where = plan_.id.text(),
                   .expected = fmt::format("{}", fmt::join(wish_.include, " ")),
                   .found = some_of(names)});
      }
    } else if (!plan_.id.gguf.empty() || is_of_gguf(names)) {
      choose_file(names);
    } else {
      choose_needed(names);
    }
    std::ranges::sort(plan_.files, {}, &Plan::File::name);
  }

  void choose_file(const std::vector<std::string>& names) {
    const std::vector<std::string> parts = gguf_files(plan_.id, names);
    if (parts.empty()) {
      const std::vector<std::string> models = gguf::models_among(names);
      fail_load({.what = "the model on the Hub has no such GGUF file",
                 .where = plan_.id.text(),
                 .expected = plan_.id.names_file() ? plan_.id.gguf : fmt::format("a file ...{}.gguf", plan_.id.gguf),
                 .found = some_of(models.empty() ? names : models),
                 .hint = models.empty() ? "" : fmt::format("{}/{}", plan_.id.repo, models.front())});
    }
    for (const std::string& part : parts) {
      require(names, part, std::ranges::find(names, part) != names.end());
      add(part);
    }
    plan_.gguf = plan_.folder / parts.front();
  }

  void choose_needed(const std::vector<std::string>& names) {
    require(names, "config.json", std::ranges::find(names, "config.json") != names.end());
    add("config.json");
    fetch_now("config.json");
    const std::string named = hf::weights_named(hf::Config::open(plan_.folder / "config.json"));
    const Choice choice = choose(names, named);
    require(names,
            named.empty() ? "model.safetensors, pytorch_model.bin, or an index of such"
                          : named + ", which transformers_weights in config.json names",
            !choice.weights.empty());
    for (const std::string& name : choice.files) {
      if (name != "config.json") add(name);
    }
    absent_ = choice.absent;
    if (!choice.indexed()) return;
    fetch_now(choice.weights);
    for (const std::string& part : parts_of(plan_.folder / choice.weights)) {
      require(names, part, std::ranges::find(names, part) != names.end());
      add(part);
    }
  }

  void require(const std::vector<std::string>& names, std::string_view what, bool there) const {
    if (there) return;
    fail_load({.what = "the model on the Hub lacks a file that pkv needs",
               .where = plan_.id.text(),
               .expected = std::string(what),
               .found = some_of(names)});
  }

  static std::string some_of(const std::vector<std::string>& names) {
    constexpr std::size_t kSome = 8;
    std::vector<std::string> some(names.begin(),
                                  names.begin() + static_cast<std::ptrdiff_t>(std::min(kSome, names.size())));
    std::string text = names.empty() ? "no files" : fmt::format("{}", fmt::join(some, " "));
    return names.size() > kSome ? text + fmt::format(" and {} more", names.size() - kSome) : text;
  }

  Wanted wanted(const std::string& name) const {
    const auto at = std::ranges::find(files_, name, &RepoFile::name);
    if (at == files_.end()) return {.file = name, .size = {}, .digest = {}};
    return {.file = name, .size = at->size, .digest = at->digest()};
  }

  void add(const std::string& name) {
    const Wanted file = wanted(name);
    plan_.files.push_back(
        {.name = name, .size = file.size, .cached = cache_.has(plan_.id.repo, plan_.commit, name, file.size)});
  }

  // A small file that says which others are needed.
  void fetch_now(const std::string& name) {
    fetch(settings_, cache_, plan_.id, plan_.commit, {wanted(name)}, {.progress = {}, .note = callbacks_.note});
  }

  void fetch_all() {
    std::vector<Wanted> missing;
    for (const Plan::File& file : plan_.files) {
      if (!file.cached) missing.push_back(wanted(file.name));
    }
    // The largest first: it is what the others wait for.
    std::ranges::stable_sort(missing, std::greater(), [](const Wanted& w) { return w.size.value_or(0); });
    fetch(settings_, cache_, plan_.id, plan_.commit, missing,
          {.progress = callbacks_.progress, .note = callbacks_.note});
  }

  const Settings& settings_;
  Cache cache_;
  const Wish& wish_;
  const Callbacks& callbacks_;
  const std::atomic<bool> never_ = false;
  Client client_;
  Plan plan_;
  Files files_;
  bool fresh_tree_ = false;  // the Hub's own listing, to be kept
  std::vector<std::string> absent_;
};

Plan plan_of_cached(const Id& id, const Cached& cached) {
  Plan plan{
      .id = id, .commit = cached.folder.filename().string(), .folder = cached.folder, .gguf = cached.gguf, .files = {}};
  for (const RepoFile& file : files_in(cached.folder)) {
    std::error_code error;
    const std::uint64_t size = fs::file_size(cached.folder / file.name, error);
    plan.files.push_back({.name = file.name, .size = error ? std::optional<std::uint64_t>() : size, .cached = true});
  }
  std::ranges::sort(plan.files, {}, &Plan::File::name);
  return plan;
}

}  // namespace

std::uint64_t Plan::bytes() const {
  std::uint64_t sum = 0;
  for (const File& file : files) sum += file.size.value_or(0);
  return sum;
}

std::uint64_t Plan::missing() const {
  std::uint64_t sum = 0;
  for (const File& file : files) sum += file.cached ? 0 : file.size.value_or(0);
  return sum;
}

std::size_t Plan::missing_files() const {
  return static_cast<std::size_t>(std::ranges::count(files, false, &File::cached));
}

std::optional<fs::path> find_cached(const Settings& settings, const Id& id) {
  const Cached cached = look_up(Cache(settings.cache, settings.symlinks), id);
  if (!cached.complete) return {};
  return cached.gguf.empty() ? cached.folder : cached.gguf;
}

Plan download(const Settings& settings, const Id& id, const Wish& wish, const Callbacks& callbacks) {
  try {
    return Download(settings, id, wish, callbacks).run();
  } catch (const Unreachable& error) {
    const Cached cached = look_up(Cache(settings.cache, settings.symlinks), id);
    if (!cached.usable || !wish.include.empty()) throw;
    if (callbacks.note) callbacks.note(fmt::format("{}; using what the cache holds", error.text().what));
    return plan_of_cached(id, cached);
  }
}

fs::path find_or_download(const Settings& settings, const Id& id, const Callbacks& callbacks) {
  if (const auto cached = find_cached(settings, id)) return *cached;
  return download(settings, id, {}, callbacks).model();
}

}  // namespace pkv::hub
