#include "files/hf/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <list>
#include <mutex>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_node.h"

namespace pkv::hf {

struct Config::State {
  Json object;
  std::string file, path;
  JsonNode node;

  // The account, for all threads.
  std::mutex mutex;
  std::set<std::string, std::less<>> read;
  std::list<std::pair<std::string, Config>> children;

  State(Json json, std::string name, std::string within)
      : object(std::move(json)), file(std::move(name)), path(std::move(within)), node(object, file, path) {}

  void count(std::string_view name) {
    const std::lock_guard lock(mutex);
    read.emplace(name);
  }
};

Config Config::open(const std::filesystem::path& path) { return parse(read_file(path, kMaxFile), path.string()); }

Config Config::parse(std::string_view text, std::string file) {
  Json object = parse_json(text, file);
  return Config(std::move(object), std::move(file));
}

Config::Config(Json object, std::string file, std::string path)
    : state_(std::make_unique<State>(std::move(object), std::move(file), std::move(path))) {
  if (!state_->node.is_object()) state_->node.wrong("an object");
}

Config::~Config() = default;
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;

// Counts every name that is present; they must agree, save that null says nothing.
std::optional<JsonNode> Config::find(Names names) const {
  std::optional<JsonNode> found;
  for (const std::string_view name : names) {
    auto node = state_->node.find(name);
    if (!node) continue;
    state_->count(name);
    if (found && !found->is_null() && !node->is_null() && found->value() != node->value()) {
      fail_load({.what = "two names of one value disagree",
                 .where = found->where(),
                 .expected = fmt::format("the value of {}: {}", node->path(), short_json(node->value())),
                 .found = short_json(found->value())});
    }
    if (!found || found->is_null()) found = std::move(node);
  }
  return found;
}

std::optional<JsonNode> Config::present(Names names) const {
  auto found = find(names);
  if (found && found->is_null()) found.reset();
  return found;
}

JsonNode Config::need(Names names, std::string_view expected) const {
  if (auto found = present(names)) return *std::move(found);
  std::string others;
  for (const std::string_view name : names) {
    if (name != *names.begin()) others += fmt::format(" (or {})", state_->node.path_of(name));
  }
  fail_load({.what = "is missing",
             .where = state_->node.where_of(*names.begin()) + others,
             .expected = std::string(expected)});
}

std::int64_t Config::integer(Names names, std::int64_t least, std::int64_t most) const {
  return need(names, integer_range(least, most)).integer(least, most);
}
double Config::number(Names names) const { return need(names, "a finite number").number(); }
bool Config::flag(Names names) const { return need(names, "true or false").flag(); }
std::string Config::text(Names names) const { return need(names, "a text").text(); }

std::int64_t Config::integer_or(Names names, std::int64_t absent, std::int64_t least, std::int64_t most) const {
  const auto found = find(names);
  return found ? found->integer(least, most) : absent;
}

double Config::number_or(Names names, double absent) const {
  const auto found = find(names);
  return found ? found->number() : absent;
}

bool Config::flag_or(Names names, bool absent) const {
  const auto found = find(names);
  return found ? found->flag() : absent;
}

std::string Config::text_or(Names names, std::string_view absent) const {
  const auto found = find(names);
  return found ? found->text() : std::string(absent);
}

namespace {

template <class T, class Read>
std::optional<T> or_none(const std::optional<JsonNode>& found, std::optional<T> absent, Read read) {
  if (!found) return absent;
  if (found->is_null()) return std::nullopt;
  return read(*found);
}

}  // namespace

std::optional<std::int64_t> Config::integer_or_none(Names names, std::int64_t least, std::int64_t most,
                                                    std::optional<std::int64_t> absent) const {
  return or_none(find(names), absent, [&](const JsonNode& node) { return node.integer(least, most); });
}

std::optional<double> Config::number_or_none(Names names, std::optional<double> absent) const {
  return or_none(find(names), absent, [](const JsonNode& node) { return node.number(); });
}

std::optional<bool> Config::flag_or_none(Names names, std::optional<bool> absent) const {
  return or_none(find(names), absent, [](const JsonNode& node) { return node.flag(); });
}

std::optional<std::string> Config::text_or_none(Names names, std::optional<std::string> absent) const {
  return or_none(find(names), std::move(absent), [](const JsonNode& node) { return node.text(); });
}

std::vector<std::int64_t> Config::integers(Names names, std::int64_t least, std::int64_t most) const {
  const auto found = present(names);
  if (!found) return {};
  if (!found->value().is_array()) return {found->integer(least, most)};
  std::vector<std::int64_t> all;
  for (const JsonNode& element : found->elements()) all.push_back(element.integer(least, most));
  return all;
}

std::vector<std::string> Config::texts(Names names) const {
  const auto found = present(names);
  if (!found) return {};
  if (!found->value().is_array()) found->wrong("an array of texts");
  std::vector<std::string> all;
  for (const JsonNode& element : found->elements()) all.push_back(element.text());
  return all;
}

const Config& Config::child(std::string_view name) const {
  const Json* object = value({name});
  const std::lock_guard lock(state_->mutex);
  for (const auto& [known, config] : state_->children) {
    if (known == name) return config;
  }
  Config config(object == nullptr ? Json(Json::Object()) : *object, state_->file, state_->node.path_of(name));
  return state_->children.emplace_back(std::string(name), std::move(config)).second;
}

const Json* Config::value(Names names) const {
  const auto found = present(names);
  return found ? &found->value() : nullptr;
}

bool Config::has(std::string_view name) const { return state_->node.has(name); }
bool Config::is_null(std::string_view name) const { return state_->node.is_null_at(name); }

void Config::without_effect(Names names) const {
  for (const std::string_view name : names) {
    if (state_->object.find(name) != nullptr) state_->count(name);
  }
}

void Config::unsupported(std::string_view name, std::string_view expected) const {
  const Json* value = state_->object.find(name);
  fail_load({.what = "is not supported by pkv",
             .where = state_->node.where_of(name),
             .expected = std::string(expected),
             .found = value == nullptr ? "no such key" : short_json(*value)});
}

std::vector<std::string> Config::unread() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::string> all;
  for (const auto& [name, value] : state_->object.members()) {
    const auto known = [&name = name](const auto& child) { return child.first == name; };
    const auto child = std::ranges::find_if(state_->children, known);
    if (child != state_->children.end()) {
      std::ranges::move(child->second.unread(), std::back_inserter(all));
    } else if (!state_->read.contains(name)) {
      all.push_back(fmt::format("{}: {}", state_->node.path_of(name), short_json(value)));
    }
  }
  return all;
}

const Json& Config::json() const { return state_->object; }
const std::string& Config::file() const { return state_->file; }

}  // namespace pkv::hf
