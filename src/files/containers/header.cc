// parse_header: the rules of https://huggingface.co/docs/safetensors, as the reference implementation checks them, and
// stricter where it lets two readings of one file pass: duplicate names and keys that do not belong to an entry. Here
// what can be seen event by event; layout.cc checks the entries together.
#include <fmt/format.h>

#include <array>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/json_events.h"
#include "files/containers/layout.h"
#include "files/containers/safetensors.h"
#include "files/containers/safetensors_types.h"

namespace pkv::containers {

namespace {

class HeaderReader : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  Header take() { return std::move(header_); }

  bool start_object() override {
    switch (at_) {
      case At::start:
        at_ = At::top;
        return true;
      case At::metadata_value:
        at_ = At::metadata;
        return true;
      case At::entry_value:
        at_ = At::entry;
        return true;
      default:
        return JsonEvents::start_object();
    }
  }

  bool end_object() override {
    if (at_ == At::entry) finish_entry();
    at_ = At::top;
    return true;
  }

  bool key(std::string& name) override {
    if (at_ == At::top) {
      open_value(name);
    } else if (at_ == At::metadata) {
      metadata_key_ = std::move(name);
      at_ = At::metadata_text;
    } else {
      open_field(name);
    }
    return true;
  }

  bool string(std::string& value) override {
    if (at_ == At::metadata_text) {
      add_metadata(value);
      at_ = At::metadata;
    } else if (at_ == At::dtype) {
      set_dtype(value);
      at_ = At::entry;
    } else {
      return JsonEvents::string(value);
    }
    return true;
  }

  bool start_array() override {
    if (at_ == At::shape_value) {
      at_ = At::shape;
    } else if (at_ == At::offsets_value) {
      at_ = At::offsets;
    } else {
      return JsonEvents::start_array();
    }
    return true;
  }

  bool end_array() override {
    if (at_ == At::offsets && offsets_ != 2) {
      fail("data_offsets is not a pair", "[begin, end]", fmt::format("{} numbers", offsets_));
    }
    at_ = At::entry;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (at_ == At::shape) {
      add_dimension(value);
    } else if (at_ == At::offsets) {
      add_offset(value);
    } else {
      return JsonEvents::number_unsigned(value);
    }
    return true;
  }

 private:
  // Where in the document the next event falls. *_value: after the key, before its value.
  enum class At {
    start,
    top,
    metadata_value,
    metadata,
    metadata_text,
    entry_value,
    entry,
    dtype,
    shape_value,
    shape,
    offsets_value,
    offsets,
  };

  Header::Entry& entry() { return header_.entries.back(); }

  std::string where() const {
    switch (at_) {
      case At::start:
      case At::top:
        return fmt::format("{}: header", file_);
      case At::metadata_value:
      case At::metadata:
        return fmt::format("{}: __metadata__", file_);
      case At::metadata_text:
        return fmt::format("{}: __metadata__ key {}", file_, quote(metadata_key_));
      default:
        return fmt::format("{}: tensor {}", file_, quote(header_.entries.back().name));
    }
  }

  std::string_view expected() const {
    switch (at_) {
      case At::start:
      case At::top:
        return "an object of tensors";
      case At::metadata_value:
      case At::metadata:
        return "an object of texts";
      case At::metadata_text:
        return "a text";
      case At::entry_value:
      case At::entry:
        return "an object of dtype, shape and data_offsets";
      case At::dtype:
        return "the name of a dtype";
      case At::shape_value:
      case At::shape:
        return "shape as an array of non-negative integers";
      case At::offsets_value:
      case At::offsets:
        return "data_offsets as an array of two non-negative integers";
    }
    return {};
  }

  [[noreturn]] void fail(std::string what, std::string expected, std::string found) const {
    fail_load({.what = std::move(what), .where = where(), .expected = std::move(expected), .found = std::move(found)});
  }

  [[noreturn]] bool refuse(std::string found) const override {
    fail("header breaks the safetensors format", std::string(expected()), std::move(found));
  }

  void open_value(std::string& name) {
    if (name != "__metadata__") {
      header_.entries.emplace_back().name = std::move(name);
      seen_ = offsets_ = 0;
      at_ = At::entry_value;
      return;
    }
    at_ = At::metadata_value;
    if (std::exchange(has_metadata_, true)) fail("appears twice", {}, {});
  }

  void add_metadata(std::string& value) {
    if (header_.metadata.size() == Header::kMaxMetadata) {
      fail("too many entries in __metadata__", fmt::format("at most {}", Header::kMaxMetadata), {});
    }
    const bool added = header_.metadata.emplace(metadata_key_, std::move(value)).second;
    if (!added) fail("appears twice", {}, {});
  }

  void open_field(const std::string& name) {
    static constexpr std::array<std::pair<std::string_view, At>, 3> kFields{
        {{"dtype", At::dtype}, {"shape", At::shape_value}, {"data_offsets", At::offsets_value}}};
    for (std::size_t i = 0; i < kFields.size(); ++i) {
      if (kFields[i].first != name) continue;
      if ((seen_ & 1u << i) != 0) fail(fmt::format("{} appears twice", name), {}, {});
      seen_ |= 1u << i;
      at_ = kFields[i].second;
      return;
    }
    refuse("the key " + quote(name));
  }

  void finish_entry() {
    constexpr unsigned kAll = 7;
    if (seen_ == kAll) return;
    const std::string_view missing = (seen_ & 1u) == 0 ? "dtype" : (seen_ & 2u) == 0 ? "shape" : "data_offsets";
    fail(fmt::format("{} is missing", missing), {}, {});
  }

  void set_dtype(const std::string& name) {
    const SafetensorsType* type = find_safetensors_type(name);
    if (type == nullptr) fail("unknown dtype", "a dtype of safetensors: F32, F16, BF16, ...", quote(name));
    entry().dtype = type->name;
    entry().readable = from_safetensors_name(name);
  }

  void add_dimension(std::uint64_t value) {
    if (entry().shape.size() == Header::kMaxFileRank) {
      fail("rank is too high", fmt::format("at most {} dimensions", Header::kMaxFileRank), {});
    }
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail("dimension is too large", "below 2^63", std::to_string(value));
    }
    entry().shape.push_back(static_cast<std::int64_t>(value));
  }

  void add_offset(std::uint64_t value) { (offsets_++ == 0 ? entry().begin : entry().end) = value; }

  At at_ = At::start;
  Header header_;
  std::string metadata_key_;
  bool has_metadata_ = false;
  unsigned seen_ = 0, offsets_ = 0;
};

}  // namespace

Header parse_header(std::string_view json, std::uint64_t data_size, std::string_view file) {
  if (!json.starts_with('{')) {
    fail_load({.what = "header does not begin with '{'",
               .where = std::string(file),
               .found = json.empty() ? "an empty header" : quote(json.substr(0, 1)),
               .hint = "this is not a safetensors file, or it is damaged"});
  }
  HeaderReader reader(json, file);
  reader.read();
  Header header = reader.take();
  sort_and_check(header.entries, data_size, file);
  return header;
}

}  // namespace pkv::containers
