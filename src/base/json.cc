#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_events.h"
#include "base/json_node.h"
#include "base/json_writer.h"

namespace pkv {
namespace {

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

// nlohmann's parser calls this; it calls the reader.
class Parser final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Parser(JsonEvents& to, std::string_view text, std::string_view file) : to_(to), text_(text), file_(file) {}

  bool null() override { return to_.null(); }
  bool boolean(bool value) override { return to_.boolean(value); }
  bool number_integer(std::int64_t value) override { return to_.number_integer(value); }
  bool number_unsigned(std::uint64_t value) override { return to_.number_unsigned(value); }
  bool number_float(double value, const std::string& text) override { return to_.number_float(value, text); }
  bool string(std::string& value) override { return to_.string(value); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // JSON text has none
  bool start_object(std::size_t) override { return to_.start_object(); }
  bool key(std::string& name) override { return to_.key(name); }
  bool end_object() override { return to_.end_object(); }
  bool start_array(std::size_t) override { return to_.start_array(); }
  bool end_array() override { return to_.end_array(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    const std::size_t offset = std::min(position == 0 ? 0 : position - 1, text_.size());
    fail_load({.what = "is not valid JSON",
               .where = fmt::format("{}: byte {}", file_, offset),
               .found = reason(error.what()),
               .hint = hint_for(text_.substr(offset))});
  }

 private:
  JsonEvents& to_;
  std::string_view text_, file_;
};

// JSON on one line in ASCII, until there is more than `most` characters of it.
void append_short(std::string& out, const Json& value, std::size_t most) {
  if (out.size() > most) return;
  const auto list = [&](char open, char close, const auto& items, const auto& append_item) {
    out += open;
    const char* comma = "";
    for (const auto& item : items) {
      if (out.size() > most) return;
      out += comma;
      append_item(item);
      comma = ",";
    }
    out += close;
  };
  if (value.is_object()) {
    list('{', '}', value.members(), [&](const auto& member) {
      out += json_text(std::string_view(member.first).substr(0, most + 1), true) + ":";
      append_short(out, member.second, most);
    });
  } else if (value.is_array()) {
    list('[', ']', value.elements(), [&](const Json& element) { append_short(out, element, most); });
  } else if (value.is_text()) {
    out += json_text(std::string_view(value.text()).substr(0, most + 1), true);
  } else {
    out += value.dump();
  }
}

}  // namespace

bool Json::is_integer() const {
  return std::holds_alternative<std::int64_t>(value_) || std::holds_alternative<std::uint64_t>(value_);
}

std::uint64_t Json::integer_bits() const {
  if (const auto* big = std::get_if<std::uint64_t>(&value_)) return *big;
  return static_cast<std::uint64_t>(std::get<std::int64_t>(value_));
}

bool Json::is_unsigned() const {
  if (std::holds_alternative<std::uint64_t>(value_)) return true;
  const auto* small = std::get_if<std::int64_t>(&value_);
  return small != nullptr && *small >= 0;
}

std::int64_t Json::integer() const { return static_cast<std::int64_t>(integer_bits()); }

bool Json::fits(std::int64_t least, std::int64_t most) const {
  if (!is_integer()) return false;
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (std::holds_alternative<std::uint64_t>(value_) && integer_bits() > kMost) return false;
  return integer() >= least && integer() <= most;
}

double Json::number() const {
  if (const auto* small = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*small);
  if (const auto* big = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*big);
  return std::get<double>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  const auto at = members().find(key);
  return at == members().end() ? nullptr : &at->second;
}

std::size_t Json::size() const {
  if (is_array()) return elements().size();
  return is_object() ? members().size() : 0;
}

bool operator==(const Json& a, const Json& b) {
  if (!a.is_number() || !b.is_number()) return a.value_ == b.value_;
  if (!a.is_integer() || !b.is_integer()) return a.number() == b.number();
  return a.is_unsigned() == b.is_unsigned() && a.integer_bits() == b.integer_bits();
}

void write_json(JsonWriter& w, const Json& json) {
  if (json.is_object()) {
    w.object([&] {
      for (const auto& [name, value] : json.members()) w.member(name, value);
    });
  } else if (json.is_array()) {
    w.value(json.elements());
  } else if (json.is_text()) {
    w.value(json.text());
  } else if (json.is_flag()) {
    w.value(json.flag());
  } else if (json.is_unsigned()) {
    w.value(json.unsigned_integer());
  } else if (json.is_integer()) {
    w.value(json.integer());
  } else if (json.is_number()) {
    w.value(json.number());
  } else {
    w.null();
  }
}

std::string Json::dump(int indent, bool ascii) const {
  JsonWriter writer(indent, ascii);
  writer.value(*this);
  return std::move(writer).text();
}

std::string quote(std::string_view text, std::size_t most) {
  const std::string escaped = json_text(text.substr(0, most + 1), true);
  return "'" + cut(escaped.substr(1, escaped.size() - 2), most) + "'";
}

std::string short_json(const Json& value, std::size_t most) {
  std::string text;
  append_short(text, value, most);
  return cut(std::move(text), most);
}

std::string json_number(double value) { return nlohmann::json(value).dump(); }

bool JsonEvents::null() { return refuse("null"); }
bool JsonEvents::boolean(bool value) { return refuse(value ? "true" : "false"); }
bool JsonEvents::number_integer(std::int64_t value) { return refuse(std::to_string(value)); }
bool JsonEvents::number_unsigned(std::uint64_t value) { return refuse(std::to_string(value)); }
bool JsonEvents::number_float(double, const std::string& text) { return refuse(cut(text, 60)); }
bool JsonEvents::string(std::string& value) { return refuse("the text " + quote(value)); }
bool JsonEvents::start_object() { return refuse("an object"); }
bool JsonEvents::key(std::string& name) { return refuse("the key " + quote(name)); }
bool JsonEvents::end_object() { return refuse("the end of an object"); }
bool JsonEvents::start_array() { return refuse("an array"); }
bool JsonEvents::end_array() { return refuse("the end of an array"); }

void JsonEvents::read() {
  // nlohmann takes a NUL for the end of the text, and would accept whatever follows it.
  if (const auto nul = text_.find('\0'); nul != text_.npos) {
    fail_load({.what = "is not valid JSON", .where = fmt::format("{}: byte {}", file_, nul), .found = "a NUL byte"});
  }
  Parser parser(*this, text_, file_);
  nlohmann::json::sax_parse(text_.begin(), text_.end(), &parser);
}

void fail_key_twice(std::string where) { fail_load({.what = "key appears twice", .where = std::move(where)}); }

bool JsonBuilder::key(std::string& name) {
  keys_.back() = std::move(name);
  if (open_.back()->find(keys_.back()) != nullptr) fail_key_twice(where());
  return true;
}

std::string JsonBuilder::path() const {
  std::string path;
  for (std::size_t i = 0; i < open_.size(); ++i) {
    if (open_[i]->is_array()) {
      const bool innermost = i + 1 == open_.size();  // of the others, the last element is what is open
      path += fmt::format("[{}]", open_[i]->size() - (innermost ? 0 : 1));
    } else {
      path += (path.empty() ? "" : ".") + path_step(keys_[i]);
    }
  }
  return path;
}

std::string JsonBuilder::where() const {
  const std::string inside = path();
  return std::string(file_) + (inside.empty() ? "" : ": ") + inside;
}

bool JsonBuilder::refuse(std::string found) const {
  fail_load({.what = "is not the JSON that belongs here", .where = where(), .found = std::move(found)});
}

Json* JsonBuilder::place(Json value) {
  count();
  if (open_.empty()) return &(root_ = std::move(value));
  Json& parent = *open_.back();
  if (parent.is_array()) return &parent.elements().emplace_back(std::move(value));
  return &(parent.members()[keys_.back()] = std::move(value));
}

bool JsonBuilder::add(Json value) {
  place(std::move(value));
  return true;
}

bool JsonBuilder::open(Json container) {
  if (open_.size() == max_depth_) {
    fail_load({.what = "JSON is nested too deep",
               .where = std::string(file_),
               .expected = fmt::format("at most {} levels", max_depth_)});
  }
  open_.push_back(place(std::move(container)));
  keys_.emplace_back();
  return true;
}

bool JsonBuilder::close() {
  open_.pop_back();
  keys_.pop_back();
  return true;
}

Json parse_json(std::string_view text, std::string_view file, std::size_t max_depth) {
  JsonBuilder builder(text, file, max_depth);
  builder.read();
  return builder.take();
}

}  // namespace pkv
