#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json_writer.h"

namespace pkv {
namespace {

using Json = nlohmann::json;

std::string ascii(const Json& value) { return value.dump(-1, ' ', true, Json::error_handler_t::replace); }

std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  text.resize(most);
  return text + "...";
}

// nlohmann's message without its own prefix and position, which we give in another form.
std::string reason(std::string_view message) {
  if (const auto at = message.find("] "); at != message.npos) message.remove_prefix(at + 2);
  if (message.starts_with("parse error at ")) {
    if (const auto at = message.find(": "); at != message.npos) message.remove_prefix(at + 2);
  }
  std::string text(message.substr(0, 200));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return text;
}

std::string hint_for(std::string_view rest) {
  if (rest.starts_with("-")) rest.remove_prefix(1);
  if (!rest.starts_with("NaN") && !rest.starts_with("Infinity")) return {};
  return "JSON has no NaN and no Infinity (Python writes them all the same): put null or a number";
}

// Builds the value, pushing containers on a stack as they open.
class Builder : public JsonEvents {
 public:
  Builder(std::string_view text, std::string_view file, std::size_t max_depth)
      : JsonEvents(text, file), max_depth_(max_depth) {}

  bool null() override { return add(nullptr), true; }
  bool boolean(bool value) override { return add(value), true; }
  bool number_integer(std::int64_t value) override { return add(value), true; }
  bool number_unsigned(std::uint64_t value) override { return add(value), true; }
  bool number_float(double value, const std::string&) override { return add(value), true; }
  bool string(std::string& value) override { return add(std::move(value)), true; }
  bool start_object(std::size_t) override { return open(Json::object()), true; }
  bool start_array(std::size_t) override { return open(Json::array()), true; }
  bool end_object() override { return open_.pop_back(), true; }
  bool end_array() override { return open_.pop_back(), true; }

  bool key(std::string& name) override {
    if (open_.back()->contains(name)) {
      fail_load({.what = "key appears twice", .where = fmt::format("{}: key {}", file_, quote(name))});
    }
    key_ = std::move(name);
    return true;
  }

  Json take() { return std::move(root_); }

 private:
  [[noreturn]] bool refuse(std::string found) const override {
    fail_load({.what = "is not the JSON that belongs here", .where = std::string(file_), .found = std::move(found)});
  }

  Json* add(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
    return &((*open_.back())[key_] = std::move(value));
  }

  void open(Json container) {
    if (open_.size() == max_depth_) {
      fail_load({.what = "JSON is nested too deep",
                 .where = std::string(file_),
                 .expected = fmt::format("at most {} levels", max_depth_)});
    }
    open_.push_back(add(std::move(container)));
  }

  std::size_t max_depth_;
  Json root_;
  std::string key_;
  std::vector<Json*> open_;  // into root_; a container does not move while one inside it is open
};

}  // namespace

std::string quote(std::string_view text, std::size_t most) {
  std::string escaped = ascii(Json(text.substr(0, most + 1)));
  return "'" + cut(escaped.substr(1, escaped.size() - 2), most) + "'";
}

std::string short_json(const Json& value, std::size_t most) { return cut(ascii(value), most); }

std::string json_number(double value) { return Json(value).dump(); }

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

bool JsonEvents::null() { return refuse("null"); }
bool JsonEvents::boolean(bool value) { return refuse(value ? "true" : "false"); }
bool JsonEvents::number_integer(std::int64_t value) { return refuse(std::to_string(value)); }
bool JsonEvents::number_unsigned(std::uint64_t value) { return refuse(std::to_string(value)); }
bool JsonEvents::number_float(double, const std::string& text) { return refuse(cut(text, 60)); }
bool JsonEvents::string(std::string& value) { return refuse("the text " + quote(value)); }
bool JsonEvents::binary(Json::binary_t&) { return refuse("binary"); }
bool JsonEvents::start_object(std::size_t) { return refuse("an object"); }
bool JsonEvents::key(std::string& name) { return refuse("the key " + quote(name)); }
bool JsonEvents::end_object() { return refuse("the end of an object"); }
bool JsonEvents::start_array(std::size_t) { return refuse("an array"); }
bool JsonEvents::end_array() { return refuse("the end of an array"); }

bool JsonEvents::parse_error(std::size_t position, const std::string&, const Json::exception& error) {
  const std::size_t offset = std::min(position == 0 ? 0 : position - 1, text_.size());
  fail_load({.what = "is not valid JSON",
             .where = fmt::format("{}: byte {}", file_, offset),
             .found = reason(error.what()),
             .hint = hint_for(text_.substr(offset))});
}

void JsonEvents::read() {
  // nlohmann takes a NUL for the end of the text, and would accept whatever follows it.
  if (const auto nul = text_.find('\0'); nul != text_.npos) {
    fail_load({.what = "is not valid JSON", .where = fmt::format("{}: byte {}", file_, nul), .found = "a NUL byte"});
  }
  Json::sax_parse(text_, this);
}

Json parse_json(std::string_view text, std::string_view file, std::size_t max_depth) {
  Builder builder(text, file, max_depth);
  builder.read();
  return builder.take();
}

}  // namespace pkv
