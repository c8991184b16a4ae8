#include "files/gguf/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "engine/tensor/view.h"
#include "files/containers/tensor_file.h"

namespace pkv::gguf {
namespace {

constexpr std::string_view kMagic = "GGUF", kTruncated = "the file is truncated: download or copy it again";

// Least bytes of a pair (key's length, a byte of it, type, a value of one byte) and of a tensor's entry.
constexpr std::uint64_t kLeastPair = 8 + 1 + 4 + 1, kLeastInfo = 8 + 1 + 4 + 8 + 4 + 8;

// A walk through the header that never passes its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::uint64_t at() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail(Error::Text text, std::string_view place = {}) const {
    text.where = place.empty() ? fmt::format("{}: at byte {}", file_, at_) : fmt::format("{}: {}", file_, place);
    fail_load(std::move(text));
  }

  std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
    if (size > left()) {
      fail({.what = "file ends within its header",
            .expected = fmt::format("{} ({} bytes)", what, size),
            .found = fmt::format("{} bytes", left()),
            .hint = std::string(kTruncated)});
    }
    const auto part = bytes_.subspan(at_, size);
    at_ += size;
    return part;
  }

  template <class T>
  T number(std::string_view what) {
    T x;
    std::memcpy(&x, take(sizeof x, what).data(), sizeof x);
    return x;
  }

  // A count of things that take at least `least` bytes each: no more than there is room for.
  std::uint64_t count(std::string_view what, std::uint64_t least, std::uint64_t most) {
    const std::uint64_t at = at_;
    const auto n = number<std::uint64_t>(what);
    const std::uint64_t room = left() / least;
    if (n > most || n > room) {
      at_ = at;
      fail(
          {.what = fmt::format("{} is too large", what),
           .expected = n > most ? fmt::format("at most {}", most) : fmt::format("at most {}, by the file's size", room),
           .found = std::to_string(n),
           .hint = n > most ? "" : std::string(kTruncated)});
    }
    return n;
  }

  std::string_view text(std::string_view what, std::uint64_t most) { return text_of(take(count(what, 1, most), what)); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::uint64_t at_ = 0;
};

ValueType read_type(Cursor& in, std::string_view key) {
  const auto type = in.number<std::uint32_t>("type of a value");
  if (type > static_cast<std::uint32_t>(ValueType::f64)) {
    in.fail({.what = "unknown type of a value", .expected = "0 to 12", .found = std::to_string(type)},
            fmt::format("key {}", quote(key)));
  }
  return static_cast<ValueType>(type);
}

void skip_texts(Cursor& in, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) in.text("a text's length", Header::kMaxText);
}

Value read_value(Cursor& in, std::string_view key, std::span<const std::byte> all) {
  Value value{.type = read_type(in, key)};
  value.array = value.type == ValueType::array;
  if (value.array) {
    value.type = read_type(in, key);
    if (value.type == ValueType::array) in.fail({.what = "array of arrays"}, fmt::format("key {}", quote(key)));
    const std::size_t least = value.type == ValueType::text ? sizeof(std::uint64_t) : size_of(value.type);
    value.count = in.count("length of an array", least, Header::kMaxArray);
  }
  const std::uint64_t from = in.at();
  if (value.type == ValueType::text) {
    skip_texts(in, value.count);
  } else {
    in.take(value.count * size_of(value.type), "a value");
  }
  value.bytes = all.subspan(from, in.at() - from);
  return value;
}

std::vector<Pair> read_pairs(Cursor& in, std::uint64_t count, std::span<const std::byte> all) {
  std::vector<Pair> pairs;
  pairs.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = in.text("a key's length", Header::kMaxKey);
    if (key.empty()) in.fail({.what = "empty key in the metadata"});
    pairs.push_back({.key = key, .value = read_value(in, key, all)});
  }
  return pairs;
}

template <class T>
void refuse_twice(const Cursor& in, std::span<const T> all, std::string_view T::*name, std::string_view what) {
  std::vector<std::string_view> names;
  names.reserve(all.size());
  for (const T& one : all) names.push_back(one.*name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) in.fail({.what = "appears twice"}, fmt::format("{} {}", what, quote(*twice)));
}

std::uint64_t read_alignment(const Cursor& in, std::span<const Pair> pairs) {
  constexpr std::string_view kKey = "general.alignment";
  const auto at = std::ranges::find(pairs, kKey, &Pair::key);
  if (at == pairs.end()) return Header::kDefaultAlignment;
  const Value& v = at->value;
  const bool fits = !v.array && v.type == ValueType::u32;
  std::uint32_t alignment = 0;
  if (fits) std::memcpy(&alignment, v.bytes.data(), sizeof alignment);
  if (!std::has_single_bit(alignment) || alignment > Header::kMaxAlignment) {
    in.fail({.what = "metadata has a value that cannot be used",
             .expected = fmt::format("u32, a power of two up to {}", Header::kMaxAlignment),
             .found = short_text(v)},
            kKey);
  }
  return alignment;
}

std::string place_of(const Info& t) { return fmt::format("tensor {}", quote(t.name)); }

const GgmlType* known_type(const Cursor& in, const Info& t, std::uint32_t id) {
  if (const GgmlType* type = find_type(id)) return type;
  const bool removed = id < 43;
  in.fail({.what = "tensor has an element type that no GGUF file of today has",
           .expected = "a type of ggml's list: F32, F16, BF16, Q4_K, ...",
           .found = fmt::format("type {}", id),
           .hint = removed ? "this type was removed from the format, or never meant for files: make the file anew"
                           : "made by another program (ik_llama.cpp, Ollama): convert the model with llama.cpp"},
          place_of(t));
}

// Bytes of all elements. Nothing wraps: each dimension is at most 2^31, so two products are checked.
std::uint64_t bytes_of(const Cursor& in, const Info& t) {
  const std::uint64_t columns = static_cast<std::uint64_t>(t.shape.back());
  if (columns % t.type->elements != 0) {
    in.fail({.what = fmt::format("rows are no whole number of {}'s blocks", t.type->name),
             .expected = fmt::format("a multiple of {} columns", t.type->elements),
             .found = shape_text(t.shape)},
            place_of(t));
  }
  std::uint64_t bytes = columns / t.type->elements * t.type->bytes;
  for (std::size_t i = 0; i + 1 < t.shape.size(); ++i) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(t.shape[i]), &bytes)) {
      in.fail({.what = "shape overflows", .found = shape_text(t.shape)}, place_of(t));
    }
  }
  return bytes;
}

Info read_info(Cursor& in) {
  Info t;
  t.name = in.text("a tensor's name", Header::kMaxKey);
  if (t.name.empty()) in.fail({.what = "empty name of a tensor"});
  const auto rank = in.number<std::uint32_t>("number of dimensions");
  if (rank == 0 || rank > Header::kMaxRank) {
    in.fail({.what = "tensor has a rank that GGUF does not know",
             .expected = fmt::format("1 to {} dimensions", Header::kMaxRank),
             .found = std::to_string(rank)},
            place_of(t));
  }
  t.shape.resize(rank);
  for (std::size_t i = rank; i-- > 0;) {
    const auto n = in.number<std::uint64_t>("a dimension");
    if (n == 0 || n > Header::kMaxDimension) {
      in.fail({.what = "tensor has a dimension that cannot be",
               .expected = fmt::format("1 to {}", Header::kMaxDimension),
               .found = std::to_string(n)},
              place_of(t));
    }
    t.shape[i] = static_cast<std::int64_t>(n);
  }
  t.type = known_type(in, t, in.number<std::uint32_t>("type of a tensor"));
  t.offset = in.number<std::uint64_t>("offset of a tensor");
  t.bytes = bytes_of(in, t);
  return t;
}

// Each within the data, aligned, and over no other.
void check_places(const Cursor& in, std::span<const Info> tensors, std::uint64_t data_size, std::uint64_t alignment) {
  for (const Info& t : tensors) {
    if (t.offset % alignment != 0) {
      in.fail({.what = "data is not aligned",
               .expected = fmt::format("an offset that is a multiple of {}", alignment),
               .found = std::to_string(t.offset)},
              place_of(t));
    }
    if (t.offset > data_size || t.bytes > data_size - t.offset) {
      in.fail({.what = "data lies beyond the end of the file",
               .expected = fmt::format("{} bytes for {} {}", t.bytes, t.type->name, shape_text(t.shape)),
               .found = fmt::format("{} bytes", data_size - std::min(data_size, t.offset)),
               .hint = fmt::format("{}; parts cut at any byte (.part1of2, -split-a) must be joined first: cat PARTS > "
                                   "model.gguf",
                                   kTruncated)},
              place_of(t));
    }
  }
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return tensors[i].offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Info &before = tensors[order[i - 1]], &t = tensors[order[i]];
    if (t.offset - before.offset >= before.bytes) continue;
    in.fail({.what = "data overlaps that of another tensor",
             .expected =
                 fmt::format("an offset from {} on, where {} ends", before.offset + before.bytes, quote(before.name)),
             .found = std::to_string(t.offset)},
            place_of(t));
  }
}

std::uint32_t read_version(Cursor& in, const std::string& file) {
  const auto version = in.number<std::uint32_t>("version");
  if (version == 2 || version == 3) return version;
  const bool other_order = (version & 0xffffu) == 0;
  fail_load({.what = other_order ? "is a GGUF file of a big-endian machine" : "is a GGUF file of another version",
             .where = file,
             .expected = "version 2 or 3",
             .found = fmt::format("version {}", other_order ? version >> 24 : version),
             .hint = other_order ? "gguf_convert_endian.py of llama.cpp turns it round"
                                 : "make the file anew from the model's folder with llama.cpp"});
}

}  // namespace

bool is_gguf(std::string_view bytes) { return bytes.starts_with(kMagic); }

Header parse_header(std::span<const std::byte> bytes, const std::string& file) {
  if (!is_gguf(text_of(bytes))) {
    fail_load({.what = "is not a GGUF file",
               .where = file,
               .expected = "GGUF at its beginning",
               .found = bytes.empty() ? "an empty file" : quote(text_of(bytes).substr(0, kMagic.size())),
               .hint = "a part of a file that was cut at any byte is none by itself: cat PARTS > model.gguf"});
  }
  Cursor in(bytes, file);
  in.take(kMagic.size(), "GGUF");
  Header header{.version = read_version(in, file)};
  const std::uint64_t tensors = in.count("number of tensors", kLeastInfo, Header::kMaxTensors);
  const std::uint64_t pairs = in.count("number of keys", kLeastPair, Header::kMaxPairs);
  header.pairs = read_pairs(in, pairs, bytes);
  refuse_twice(in, std::span<const Pair>(header.pairs), &Pair::key, "key");
  const std::uint64_t alignment = read_alignment(in, header.pairs);
  header.tensors.reserve(tensors);
  for (std::uint64_t i = 0; i < tensors; ++i) header.tensors.push_back(read_info(in));
  refuse_twice(in, std::span<const Info>(header.tensors), &Info::name, "tensor");
  header.data_offset = std::min<std::uint64_t>(bytes.size(), (in.at() + alignment - 1) / alignment * alignment);
  check_places(in, header.tensors, bytes.size() - header.data_offset, alignment);
  return header;
}

Container::Container(std::shared_ptr<const MappedFile> file, Header header)
    : file_(std::move(file)),
      version_(header.version),
      metadata_(std::move(header.pairs), file_->path().string()),
      tensors_(std::move(header.tensors)),
      data_(file_->bytes().subspan(header.data_offset)) {}

Container Container::open(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  containers::refuse_lfs_pointer(file->text(), path);
  Header header = parse_header(file->bytes(), path.string());
  return Container(std::move(file), std::move(header));
}

}  // namespace pkv::gguf
