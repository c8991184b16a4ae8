// Reading JSON event by event, so that memory follows what a reader accepts and the first thing out of place is
// refused by name. JsonEvents is the text's reader, to derive from; JsonBuilder makes a tree of it, and a class derived
// from that can take parts of the document for itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace pkv {

// The events of one document. Every event is refused unless a reader overrides it. What events return goes to the
// parser: false ends it; readers that refuse throw instead.
class JsonEvents {
 public:
  JsonEvents(std::string_view text, std::string_view file) : text_(text), file_(file) {}
  virtual ~JsonEvents() = default;

  virtual bool null();
  virtual bool boolean(bool value);
  virtual bool number_integer(std::int64_t value);  // negative ones only
  virtual bool number_unsigned(std::uint64_t value);
  virtual bool number_float(double value, const std::string& text);
  virtual bool string(std::string& value);
  virtual bool start_object();
  virtual bool key(std::string& name);
  virtual bool end_object();
  virtual bool start_array();
  virtual bool end_array();

  // Feeds the whole text to this reader; load error when it is not JSON.
  void read();

 protected:
  // Called for every event that the reader does not expect; throws.
  [[noreturn]] virtual bool refuse(std::string found) const = 0;

  std::string_view text_, file_;
};

// The load error of every reader for a key that an object has already.
[[noreturn]] void fail_key_twice(std::string where);

// Makes the document as a value. It knows the path of what is being read.
class JsonBuilder : public JsonEvents {
 public:
  JsonBuilder(std::string_view text, std::string_view file, std::size_t max_depth = 64)
      : JsonEvents(text, file), max_depth_(max_depth) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool start_object() override { return open(Json::Object()); }
  bool key(std::string& name) override;
  bool end_object() override { return close(); }
  bool start_array() override { return open(Json::Array()); }
  bool end_array() override { return close(); }

  Json take() { return std::move(root_); }

 protected:
  virtual void count() {}  // called before each value is added; may refuse it
  [[noreturn]] bool refuse(std::string found) const override;

  std::size_t depth() const { return open_.size(); }  // of the containers around what is being read
  // The key under way in the object at that depth, 0 for the document's own.
  const std::string& key_at(std::size_t depth) const { return keys_[depth]; }
  std::string path() const;   // "added_tokens[2].id"; empty for the document
  std::string where() const;  // the file and the path

 private:
  bool add(Json value);
  bool open(Json container);
  bool close();
  Json* place(Json value);

  std::size_t max_depth_;
  Json root_;
  std::vector<Json*> open_;  // into root_; a container does not move while one inside it is open
  std::vector<std::string> keys_;
};

}  // namespace pkv
