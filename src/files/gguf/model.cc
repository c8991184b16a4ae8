#include "files/gguf/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace pkv::gguf {
namespace {

// "x-00002-of-00003.gguf".
struct PartName {
  std::string prefix;  // with the folder
  std::int64_t number = 0, count = 0;

  std::filesystem::path path_of(std::int64_t part) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part, count);
  }
};

// In the names of files that are no language model of their own: encoders of images, importance matrices, and models
// that guess for another.
constexpr auto kOtherFiles =
    std::to_array<std::string_view>({"mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"});

std::optional<PartName> part_name(const std::filesystem::path& path) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  const std::string text = path.string();
  if (text.size() <= kForm.size()) return std::nullopt;
  const std::string_view end = std::string_view(text).substr(text.size() - kForm.size());
  PartName name{.prefix = text.substr(0, text.size() - kForm.size())};
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == '0' ? end[i] < '0' || end[i] > '9' : end[i] != kForm[i]) return std::nullopt;
  }
  std::from_chars(end.data() + 1, end.data() + 6, name.number);
  std::from_chars(end.data() + 10, end.data() + 15, name.count);
  if (name.number < 1 || name.number > name.count) return std::nullopt;
  return name;
}

[[noreturn]] void fail_part(const Container& part, std::string expected, std::string found) {
  fail_load({.what = "is not the part that its name says",
             .where = part.path().string(),
             .expected = std::move(expected),
             .found = std::move(found),
             .hint = "download the model's parts again, all of one revision"});
}

void check_part(const Container& part, std::int64_t number, std::int64_t count) {
  const Metadata& m = part.metadata();
  const std::int64_t no = m.integer("split.no", 0, Model::kMostParts).value_or(0);
  const std::int64_t of = m.integer("split.count", 0, Model::kMostParts).value_or(0);
  m.without_effect("split.tensors.count");
  if (no == number - 1 && of == count) return;
  fail_part(part, fmt::format("part {} of {}", number, count), fmt::format("part {} of {}, by split.no", no + 1, of));
}

std::vector<Container> open_parts(const std::filesystem::path& path) {
  std::vector<Container> parts;
  parts.push_back(Container::open(path));
  const std::int64_t count = parts[0].metadata().integer("split.count", 0, Model::kMostParts).value_or(1);
  if (count <= 1) {
    for (const char* key : {"split.no", "split.tensors.count"}) parts[0].metadata().without_effect(key);
    return parts;
  }
  const auto name = part_name(path);
  if (!name || name->count != count) {
    fail_load({.what = "is one part of a model, and its name does not say which",
               .where = path.string(),
               .expected = fmt::format("a name that ends in -00001-of-{:05}.gguf", count),
               .hint = "the parts under the names that they were made with, in one folder"});
  }
  parts.clear();
  for (std::int64_t i = 1; i <= count; ++i) {
    const std::filesystem::path each = name->path_of(i);
    if (!is_present(each)) {
      fail_load({.what = fmt::format("part {} of {} is missing", i, count),
                 .where = each.string(),
                 .hint = "download it to the folder of the others"});
    }
    parts.push_back(Container::open(each));
    check_part(parts.back(), i, count);
  }
  return parts;
}

}  // namespace

bool is_gguf_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::array<char, 4> begin{};
  std::ifstream(path, std::ios::binary).read(begin.data(), begin.size());
  return path.extension() == ".gguf" || is_gguf(std::string_view(begin.data(), begin.size()));
}

std::vector<std::string> models_among(std::span<const std::string> names) {
  std::vector<std::string> models;
  for (const std::string& name : names) {
    if (!name.ends_with(".gguf")) continue;
    const std::string_view last = std::string_view(name).substr(name.rfind('/') + 1);
    const auto is_of = [&](std::string_view word) { return last.find(word) != last.npos; };
    if (std::ranges::any_of(kOtherFiles, is_of)) continue;
    const auto part = part_name(name);
    if (!part || part->number == 1) models.push_back(name);
  }
  std::ranges::sort(models);
  return models;
}

std::vector<std::string> parts_among(std::span<const std::string> names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) return {};
  const auto part = part_name(name);
  if (!part) return {name};
  std::vector<std::string> parts;
  for (std::int64_t i = 1; i <= part->count; ++i) parts.push_back(part->path_of(i).string());
  return parts;
}

Model::Model(std::vector<Container> parts) : parts_(std::move(parts)) {
  for (const Container& part : parts_) {
    for (const Info& info : part.tensors()) tensors_.push_back({&info, &part});
  }
  const auto name = [](const Found& f) { return f.info->name; };
  std::ranges::sort(tensors_, {}, name);
  const auto twice = std::ranges::adjacent_find(tensors_, {}, name);
  if (twice == tensors_.end()) return;
  fail_load({.what = "tensor is in two parts",
             .where = fmt::format("{}: tensor {}", path().string(), quote(twice->info->name)),
             .found = fmt::format("{} and {}", twice->part->path().filename().string(),
                                  std::next(twice)->part->path().filename().string())});
}

Model Model::open(const std::filesystem::path& path) {
  Model model(open_parts(path));
  const auto total = model.metadata().integer("split.tensors.count", 0, INT32_MAX);
  if (model.parts().size() > 1 && total && *total != std::ssize(model.tensors())) {
    fail_load({.what = "the parts do not hold all tensors",
               .where = model.path().string(),
               .expected = fmt::format("{} tensors, by split.tensors.count", *total),
               .found = std::to_string(model.tensors().size())});
  }
  return model;
}

Model::Found Model::find(std::string_view name) const {
  const auto name_of = [](const Found& f) { return f.info->name; };
  const auto at = std::ranges::lower_bound(tensors_, name, {}, name_of);
  return at != tensors_.end() && name_of(*at) == name ? *at : Found{};
}

}  // namespace pkv::gguf
