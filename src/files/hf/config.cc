#include "files/hf/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace pkv::hf {
namespace {

using Json = nlohmann::json;

std::string integer_range(std::int64_t least, std::int64_t most) {
  if (most == std::numeric_limits<std::int64_t>::max()) return fmt::format("an integer of at least {}", least);
  return fmt::format("an integer from {} to {}", least, most);
}

constexpr std::string_view kNumber = "a finite number";
constexpr std::string_view kFlag = "true or false";
constexpr std::string_view kText = "a text";

}  // namespace

Config Config::open(const std::filesystem::path& path) { return parse(read_file(path, kMaxFile), path.string()); }

Config Config::parse(std::string_view text, std::string file) {
  Json object = parse_json(text, file);
  return Config(std::move(object), std::move(file));
}

Config::Config(Json object, std::string file, std::string prefix)
    : object_(std::move(object)), file_(std::move(file)), prefix_(std::move(prefix)) {
  if (object_.is_object()) return;
  fail_load({.what = "is not an object",
             .where = prefix_.empty() ? file_ : where(""),
             .expected = "{...}",
             .found = short_json(object_)});
}

std::string Config::where(std::string_view name) const {
  return fmt::format("{}: key {}", file_, quote(prefix_ + std::string(name)));
}

// Marks every name that is present; they must agree, save that null says nothing.
Config::Found Config::find(Names names) const {
  Found found{*names.begin(), nullptr};
  for (const std::string_view name : names) {
    const auto at = object_.find(name);
    if (at == object_.end()) continue;
    read_.emplace(name);
    if (at->is_null()) continue;
    if (found.value != nullptr && *found.value != *at) {
      fail_load({.what = "two names of one value disagree",
                 .where = where(found.name),
                 .expected = fmt::format("the value of {}: {}", quote(prefix_ + std::string(name)), short_json(*at)),
                 .found = short_json(*found.value)});
    }
    if (found.value == nullptr) found = {name, &*at};
  }
  return found;
}

Config::Found Config::need(Names names, std::string_view expected) const {
  const Found found = find(names);
  if (found.value != nullptr) return found;
  std::string others;
  for (const std::string_view name : names) {
    if (name != *names.begin()) others += fmt::format(" (or {})", quote(prefix_ + std::string(name)));
  }
  fail_load({.what = "is missing", .where = where(*names.begin()) + others, .expected = std::string(expected)});
}

void Config::wrong(const Found& found, std::string expected, std::string hint) const {
  fail_load({.what = "has the wrong value",
             .where = where(found.name),
             .expected = std::move(expected),
             .found = short_json(*found.value),
             .hint = std::move(hint)});
}

std::int64_t Config::as_integer(const Found& found, std::int64_t least, std::int64_t most) const {
  const Json& v = *found.value;
  if (!v.is_number_integer()) {
    wrong(found, integer_range(least, most), v.is_number_float() ? "write it without a fraction or exponent" : "");
  }
  // get<> would wrap what is above the signed range.
  const bool too_large = v.is_number_unsigned() &&
                         v.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (too_large || v.get<std::int64_t>() < least || v.get<std::int64_t>() > most) {
    wrong(found, integer_range(least, most));
  }
  return v.get<std::int64_t>();
}

double Config::as_number(const Found& found) const {
  if (!found.value->is_number() || !std::isfinite(found.value->get<double>())) wrong(found, std::string(kNumber));
  return found.value->get<double>();
}

bool Config::as_flag(const Found& found) const {
  if (!found.value->is_boolean()) wrong(found, std::string(kFlag));
  return found.value->get<bool>();
}

std::string Config::as_text(const Found& found) const {
  if (!found.value->is_string()) wrong(found, std::string(kText));
  return found.value->get<std::string>();
}

std::int64_t Config::integer(Names names, std::int64_t least, std::int64_t most) const {
  return as_integer(need(names, integer_range(least, most)), least, most);
}
double Config::number(Names names) const { return as_number(need(names, kNumber)); }
bool Config::flag(Names names) const { return as_flag(need(names, kFlag)); }
std::string Config::text(Names names) const { return as_text(need(names, kText)); }

std::int64_t Config::integer_or(Names names, std::int64_t fallback, std::int64_t least, std::int64_t most) const {
  const Found found = find(names);
  return found.value == nullptr ? fallback : as_integer(found, least, most);
}

double Config::number_or(Names names, double fallback) const {
  const Found found = find(names);
  return found.value == nullptr ? fallback : as_number(found);
}

bool Config::flag_or(Names names, bool fallback) const {
  const Found found = find(names);
  return found.value == nullptr ? fallback : as_flag(found);
}

std::string Config::text_or(Names names, std::string_view fallback) const {
  const Found found = find(names);
  return found.value == nullptr ? std::string(fallback) : as_text(found);
}

std::vector<std::int64_t> Config::integers(Names names, std::int64_t least, std::int64_t most) const {
  const Found found = find(names);
  if (found.value == nullptr) return {};
  if (!found.value->is_array()) return {as_integer(found, least, most)};
  std::vector<std::int64_t> all;
  for (const Json& element : *found.value) all.push_back(as_integer({found.name, &element}, least, most));
  return all;
}

std::vector<std::string> Config::texts(Names names) const {
  const Found found = find(names);
  if (found.value == nullptr) return {};
  if (!found.value->is_array()) wrong(found, "an array of texts");
  std::vector<std::string> all;
  for (const Json& element : *found.value) all.push_back(as_text({found.name, &element}));
  return all;
}

const Config& Config::child(std::string_view name) const {
  for (const auto& [known, config] : children_) {
    if (known == name) return *config;
  }
  const Json* object = value({name});
  auto config = std::make_unique<Config>(object == nullptr ? Json::object() : *object, file_,
                                         fmt::format("{}{}.", prefix_, name));
  return *children_.emplace_back(name, std::move(config)).second;
}

const Json* Config::value(Names names) const { return find(names).value; }

bool Config::has(std::string_view name) const {
  const auto at = object_.find(name);
  return at != object_.end() && !at->is_null();
}

void Config::without_effect(Names names) const {
  for (const std::string_view name : names) {
    if (object_.contains(name)) read_.emplace(name);
  }
}

void Config::unsupported(std::string_view name, std::string_view expected) const {
  const auto at = object_.find(name);
  fail_load({.what = "is not supported by pkv",
             .where = where(name),
             .expected = std::string(expected),
             .found = at == object_.end() ? "no such key" : short_json(*at)});
}

std::vector<std::string> Config::unread() const {
  std::vector<std::string> all;
  for (const auto& [name, value] : object_.items()) {
    const auto child = std::ranges::find(children_, name, [](const auto& c) -> const std::string& { return c.first; });
    if (child != children_.end()) {
      std::ranges::move(child->second->unread(), std::back_inserter(all));
    } else if (!read_.contains(name)) {
      const std::string path = quote(prefix_ + name);
      all.push_back(fmt::format("{}: {}", std::string_view(path).substr(1, path.size() - 2), short_json(value)));
    }
  }
  return all;
}

}  // namespace pkv::hf
