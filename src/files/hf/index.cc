#include "files/hf/index.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json_events.h"

namespace pkv::hf {
namespace {

// Keys of the index's metadata that say nothing about the weights, or nothing that is needed.
constexpr std::array<std::string_view, 5> kMetadata{"format", "mergekit_version", "save_format", "total_parameters",
                                                    "total_size"};

// Takes weight_map; lets everything else (metadata) pass, to a limited depth, and names what is not known.
class IndexReader : public JsonEvents {
 public:
  IndexReader(std::string_view text, std::string_view file, std::string_view extension)
      : JsonEvents(text, file), extension_(extension) {}

  bool null() override { return skipping() || JsonEvents::null(); }
  bool boolean(bool value) override { return skipping() || JsonEvents::boolean(value); }
  bool number_integer(std::int64_t value) override { return skipping() || JsonEvents::number_integer(value); }
  bool number_unsigned(std::uint64_t value) override { return skipping() || JsonEvents::number_unsigned(value); }
  bool number_float(double value, const std::string& text) override {
    return skipping() || JsonEvents::number_float(value, text);
  }

  bool string(std::string& value) override {
    if (skipping()) return true;
    if (!in_map_ || depth_ != 2) return JsonEvents::string(value);
    add(value);
    return true;
  }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      in_map_ = name == "weight_map";
      in_metadata_ = name == "metadata";
      if (!in_map_ && !in_metadata_) add_unread(name);
      if (in_map_ && std::exchange(has_map_, true)) {
        fail_load({.what = "weight_map appears twice", .where = std::string(file_)});
      }
    } else if (in_map_) {
      tensor_ = std::move(name);
    } else if (in_metadata_ && depth_ == 2 && std::ranges::count(kMetadata, name) == 0) {
      add_unread("metadata." + name);
    }
    return true;
  }

  bool start_object() override { return in_map_ && depth_ >= 2 ? JsonEvents::start_object() : deeper(); }
  bool start_array() override { return skipping() ? deeper() : JsonEvents::start_array(); }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }

  Index finish() {
    if (!has_map_) fail_load({.what = "weight_map is missing", .where = std::string(file_)});
    if (index_.entries.empty()) fail_load({.what = "weight_map names no tensor", .where = std::string(file_)});
    number_shards();
    std::ranges::sort(index_.entries, {}, &Index::Entry::tensor);
    const auto twice = std::ranges::adjacent_find(index_.entries, {}, &Index::Entry::tensor);
    if (twice != index_.entries.end()) {
      fail_load({.what = "tensor appears twice in weight_map", .where = place(twice->tensor)});
    }
    return std::move(index_);
  }

 private:
  static constexpr std::size_t kMaxDepth = 64;

  bool skipping() const { return depth_ >= 1 && !in_map_; }

  bool deeper() {
    if (++depth_ <= kMaxDepth) return true;
    fail_load({.what = "JSON is nested too deep",
               .where = std::string(file_),
               .expected = fmt::format("at most {} levels", kMaxDepth)});
  }

  std::string place(std::string_view tensor) const {
    return fmt::format("{}: weight_map, tensor {}", file_, quote(tensor));
  }

  [[noreturn]] bool refuse(std::string found) const override {
    const bool inside = in_map_ && depth_ == 2;
    fail_load(
        {.what = "is not an index of shards",
         .where = inside ? place(tensor_) : std::string(file_),
         .expected = inside ? "the name of a shard" : "an object with weight_map, an object of tensors and shards",
         .found = std::move(found)});
  }

  void add(const std::string& shard) {
    if (!is_plain_file_name(shard) || !shard.ends_with(extension_)) {
      fail_load({.what = "shard is not a file of this folder",
                 .where = place(tensor_),
                 .expected = fmt::format("a plain file name that ends in {}", extension_),
                 .found = quote(shard)});
    }
    const std::size_t number = shards_.emplace(shard, shards_.size()).first->second;
    index_.entries.push_back({std::move(tensor_), number});
  }

  void add_unread(const std::string& name) {
    constexpr std::size_t kMost = 1000;
    if (index_.unread.size() < kMost) index_.unread.push_back(name.substr(0, 100));
  }

  // Numbers were given in order of appearance; now they follow the names.
  void number_shards() {
    std::vector<std::size_t> place_of(shards_.size());
    for (const auto& [name, number] : shards_) {
      place_of[number] = index_.shards.size();
      index_.shards.push_back(name);
    }
    for (Index::Entry& e : index_.entries) e.shard = place_of[e.shard];
  }

  std::string_view extension_;
  Index index_;
  std::map<std::string, std::size_t> shards_;
  std::string tensor_;
  std::size_t depth_ = 0;
  bool in_map_ = false, in_metadata_ = false, has_map_ = false;
};

}  // namespace

const Index::Entry* Index::find(std::string_view tensor) const {
  const auto name = [](const Entry& e) -> std::string_view { return e.tensor; };
  const auto at = std::ranges::lower_bound(entries, tensor, {}, name);
  return at != entries.end() && at->tensor == tensor ? &*at : nullptr;
}

Index parse_index(std::string_view text, std::string_view file, std::string_view extension) {
  IndexReader reader(text, file, extension);
  reader.read();
  return reader.finish();
}

}  // namespace pkv::hf
