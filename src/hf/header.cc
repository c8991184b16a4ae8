// parse_header: the rules of https://huggingface.co/docs/safetensors, as the reference implementation checks them, and
// stricter where it lets two readings of one file pass: duplicate names and keys that do not belong to an entry.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "hf/formats.h"
#include "hf/json.h"
#include "hf/safetensors.h"

namespace pkv::hf {

std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, std::uint64_t bits) {
  std::uint64_t n = 1;
  for (const std::int64_t dim : shape) {
    if (__builtin_mul_overflow(n, static_cast<std::uint64_t>(dim), &n)) return std::nullopt;
  }
  if (__builtin_mul_overflow(n, bits, &n) || n % 8 != 0) return std::nullopt;
  return n / 8;
}

namespace {

class HeaderReader : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  Header take() { return std::move(header_); }

  bool start_object(std::size_t size) override {
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
        return JsonEvents::start_object(size);
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

  bool start_array(std::size_t size) override {
    if (at_ == At::shape_value) {
      at_ = At::shape;
    } else if (at_ == At::offsets_value) {
      at_ = At::offsets;
    } else {
      return JsonEvents::start_array(size);
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
    const Format* format = find_format(name);
    if (format == nullptr) fail("unknown dtype", "a dtype of safetensors: F32, F16, BF16, ...", quote(name));
    entry().dtype = format->name;
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

  void add_offset(std::uint64_t value) {
    if (offsets_ == 2) fail("data_offsets is not a pair", "[begin, end]", "more than two numbers");
    (offsets_++ == 0 ? entry().begin : entry().end) = value;
  }

  At at_ = At::start;
  Header header_;
  std::string metadata_key_;
  bool has_metadata_ = false;
  unsigned seen_ = 0, offsets_ = 0;
};

std::string tensor_place(std::string_view file, const Header::Entry& e) {
  return fmt::format("{}: tensor {}", file, quote(e.name));
}

void check_size(const Header::Entry& e, std::uint64_t data_size, std::string_view file) {
  const std::string offsets = fmt::format("data_offsets [{}, {}]", e.begin, e.end);
  if (e.begin > e.end) {
    fail_load({.what = "data_offsets end before they begin", .where = tensor_place(file, e), .found = offsets});
  }
  if (e.end > data_size) {
    fail_load({.what = "data lies beyond the end of the file",
               .where = tensor_place(file, e),
               .expected = fmt::format("at most {} bytes of data", data_size),
               .found = offsets,
               .hint = "the file is truncated: download or copy it again"});
  }
  const auto bytes = byte_count(e.shape, find_format(e.dtype)->bits);
  if (!bytes) {
    fail_load({.what = "shape and dtype do not make a number of bytes (too large, or no whole byte)",
               .where = tensor_place(file, e),
               .found = fmt::format("{} {}", e.dtype, shape_text(e.shape))});
  }
  if (*bytes != e.end - e.begin) {
    fail_load({.what = "shape and data_offsets do not match",
               .where = tensor_place(file, e),
               .expected = fmt::format("{} bytes for {} {}", *bytes, e.dtype, shape_text(e.shape)),
               .found = fmt::format("{} bytes, {}", e.end - e.begin, offsets)});
  }
}

// Sorted by offset, each begins where the one before ends, and the last ends with the file.
void check_layout(std::span<const Header::Entry> entries, std::uint64_t data_size, std::string_view file) {
  std::uint64_t next = 0;
  for (const Header::Entry& e : entries) {
    if (e.begin != next) {
      fail_load({.what = e.begin < next ? "data overlaps that of another tensor" : "a hole in the data before it",
                 .where = tensor_place(file, e),
                 .expected = fmt::format("data_offsets beginning at {}", next),
                 .found = std::to_string(e.begin)});
    }
    next = e.end;
  }
  if (next != data_size) {
    fail_load({.what = "the tensors do not cover the file",
               .where = std::string(file),
               .expected = fmt::format("{} bytes of data, as in the header", next),
               .found = fmt::format("{} bytes", data_size)});
  }
}

void check_names(std::span<const Header::Entry> entries, std::string_view file) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto name = [&](std::size_t i) -> const std::string& { return entries[i].name; };
  std::ranges::sort(order, {}, name);
  const auto twice = std::ranges::adjacent_find(order, {}, name);
  if (twice != order.end()) fail_load({.what = "name appears twice", .where = tensor_place(file, entries[*twice])});
}

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
  check_names(header.entries, file);
  for (const Header::Entry& e : header.entries) check_size(e, data_size, file);
  std::ranges::sort(header.entries, [](const Header::Entry& a, const Header::Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_layout(header.entries, data_size, file);
  return header;
}

}  // namespace pkv::hf
