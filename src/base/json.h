// JSON as this room reads it: event by event, so that memory follows what is accepted and the first thing out of place
// is refused by name. Duplicate keys, depth beyond a limit and ill-formed UTF-8 are errors. Used by the readers of this
// room; not part of its door.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pkv {

// A name or value of a file, fit for an error message: quoted, escaped to ASCII, cut at `most` characters.
std::string quote(std::string_view text, std::size_t most = 120);
// A value as JSON of one line, escaped to ASCII, cut at `most` characters.
std::string short_json(const nlohmann::json& value, std::size_t most = 60);

bool is_utf8(std::string_view text);

// The events of one document. Every event is refused unless a reader overrides it.
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonEvents(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(std::int64_t value) override;  // negative ones only
  bool number_unsigned(std::uint64_t value) override;
  bool number_float(double value, const std::string& text) override;
  bool string(std::string& value) override;
  bool binary(nlohmann::json::binary_t& value) override;
  bool start_object(std::size_t) override;
  bool key(std::string& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string& last, const nlohmann::json::exception& error) final;

  // Feeds the whole text to this reader; load error when it is not JSON.
  void read();

 protected:
  // Called for every event that the reader does not expect; throws.
  [[noreturn]] virtual bool refuse(std::string found) const = 0;

  std::string_view text_, file_;
};

// The document as a value. At most `max_depth` objects and arrays within each other.
nlohmann::json parse_json(std::string_view text, std::string_view file, std::size_t max_depth = 64);

}  // namespace pkv
