// The JSON of the Hub's listings.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "files/hf/repo_name.h"
#include "files/hub/digest.h"
#include "files/hub/id.h"
#include "files/hub/wire.h"

namespace pkv::hub {
namespace {

constexpr int kTreeFormat = 1;

[[noreturn]] void wrong(std::string_view source, std::string expected, std::string found) {
  fail_load({.what = "is not what a Hub answers",
             .where = std::string(source),
             .expected = std::move(expected),
             .found = std::move(found),
             .hint = "HF_ENDPOINT, if it is set, must be the address of a Hub; a proxy may answer in its place"});
}

const Json* member(const Json& object, const char* name) {
  const Json* value = object.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string text_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value != nullptr && value->is_text() ? value->text() : std::string();
}

// Of kMostFiles such files the sum fits 63 bits.
constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 46;

std::optional<std::uint64_t> size_of(const Json& object, const char* name, std::string_view source) {
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_unsigned()) return {};
  const auto size = value->unsigned_integer();
  if (size > kLargestFile) {
    wrong(source, fmt::format("{}, at most {} bytes", name, kLargestFile), fmt::format("{}", size));
  }
  return size;
}

std::string digest_of(const Json& object, const char* name, Digest::Kind kind) {
  const std::string text = text_of(object, name);
  return Digest::kind_of(text) == kind ? text : std::string();
}

void sort_by_name(std::vector<RepoFile>& files) {
  std::ranges::sort(files, {}, &RepoFile::name);
  const auto same = [](const RepoFile& a, const RepoFile& b) { return a.name == b.name; };
  files.erase(std::unique(files.begin(), files.end(), same), files.end());
}

void add_file(std::vector<RepoFile>& files, RepoFile file) {
  if (is_safe_path(file.name)) files.push_back(std::move(file));
}

}  // namespace

std::string RepoFile::digest() const {
  const std::string& digest = sha256.empty() && xet.empty() ? git : sha256;
  return Digest::kind_of(digest) == Digest::Kind::none ? std::string() : digest;
}

RepoInfo parse_repo_info(std::string_view text, std::string_view source) {
  const Json json = parse_json(text, source);
  RepoInfo info{.commit = text_of(json, "sha"), .files = {}};
  if (!hf::is_commit(info.commit)) wrong(source, "an object with sha, a commit", short_json(json));
  const Json* siblings = member(json, "siblings");
  if (siblings == nullptr || !siblings->is_array()) return info;
  for (const Json& file : siblings->elements()) {
    const std::string name = text_of(file, "rfilename");
    if (is_safe_path(name)) info.files.push_back(name);
  }
  std::ranges::sort(info.files);
  return info;
}

std::vector<RepoFile> parse_tree_page(std::string_view text, std::string_view source) {
  const Json json = parse_json(text, source);
  if (!json.is_array()) wrong(source, "an array of files", short_json(json));
  std::vector<RepoFile> files;
  for (const Json& entry : json.elements()) {
    if (text_of(entry, "type") != "file") continue;
    RepoFile file{.name = text_of(entry, "path"),
                  .size = size_of(entry, "size", source),
                  .git = digest_of(entry, "oid", Digest::Kind::git),
                  .sha256 = {},
                  .xet = digest_of(entry, "xetHash", Digest::Kind::sha256)};
    if (const Json* lfs = member(entry, "lfs")) {
      file.sha256 = digest_of(*lfs, "oid", Digest::Kind::sha256);
      if (const auto size = size_of(*lfs, "size", source)) file.size = size;
    }
    add_file(files, std::move(file));
  }
  return files;
}

std::optional<std::vector<RepoFile>> parse_tree_file(std::string_view text, std::string_view source) {
  const Json json = parse_json(text, source);
  const auto format = size_of(json, "format_version", source);
  const Json* listed = member(json, "files");
  if (format != kTreeFormat || listed == nullptr || !listed->is_object()) return {};
  std::vector<RepoFile> files;
  for (const auto& [name, entry] : listed->members()) {
    RepoFile file{.name = name,
                  .size = size_of(entry, "size", source),
                  .git = text_of(entry, "blob_id"),
                  .sha256 = text_of(entry, "lfs_sha256"),
                  .xet = text_of(entry, "xet_hash")};
    if (const auto size = size_of(entry, "lfs_size", source)) file.size = size;
    add_file(files, std::move(file));
  }
  sort_by_name(files);
  return files;
}

namespace {

void write_members(JsonWriter& w, const RepoFile& file) {
  w.member("size", file.size.value_or(0));
  w.member("blob_id", file.git);
  if (!file.sha256.empty()) {
    w.member("lfs_sha256", file.sha256);
    w.member("lfs_size", file.size.value_or(0));
  }
  if (!file.xet.empty()) w.member("xet_hash", file.xet);
}

}  // namespace

std::string tree_file_text(const std::vector<RepoFile>& files) {
  JsonWriter w(1);
  w.object([&] {
    w.member("format_version", kTreeFormat);
    w.object("files", [&] {
      for (std::size_t i = 0; i < files.size(); ++i) {
        const bool twice = i + 1 < files.size() && files[i + 1].name == files[i].name;
        if (!twice) w.object(files[i].name, [&] { write_members(w, files[i]); });
      }
    });
  });
  return std::move(w).text();
}

}  // namespace pkv::hub
