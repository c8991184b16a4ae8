#include "text/charsmap.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "text/base64.h"

namespace pkv::text {
namespace {

constexpr std::size_t kLargestMap = 16 << 20;  // bytes; real ones have some 240,000
constexpr std::size_t kLongestCluster = 5;     // in bytes, of those that are looked up whole

// A cell of the double array.
class Unit {
 public:
  explicit Unit(std::uint32_t bits) : bits_(bits) {}
  bool has_leaf() const { return (bits_ >> 8 & 1) != 0; }
  std::uint32_t value() const { return bits_ & 0x7fffffff; }
  std::uint32_t label() const { return bits_ & 0x800000ff; }
  std::uint32_t offset() const { return (bits_ >> 10) << ((bits_ & 1 << 9) >> 6); }

 private:
  std::uint32_t bits_;
};

// Characters that go on with a cluster as of Unicode 17, which the `tokenizers` library has, and are none yet as of
// Unicode 15, which utf8proc 2.8 has; found by asking the library about every code point.
struct Range {
  char32_t first, last;
};
constexpr Range kLaterParts[] = {{0x897, 0x897},     {0x1acf, 0x1add},   {0x1ae0, 0x1aeb},   {0x10d69, 0x10d6d},
                                 {0x10efa, 0x10efc}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5},
                                 {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2},
                                 {0x11b60, 0x11b67}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f}, {0x1e5ee, 0x1e5ef},
                                 {0x1e6e3, 0x1e6e3}, {0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5}};

bool is_later_part(char32_t code) {
  return std::ranges::any_of(kLaterParts, [&](Range r) { return code >= r.first && code <= r.last; });
}

std::size_t end_of_cluster(std::string_view text, std::size_t at) {
  Character c = decode_at(text, at);
  utf8proc_int32_t state = 0;
  for (at += c.size; at < text.size(); at += c.size) {
    const Character next = decode_at(text, at);
    const auto before = static_cast<utf8proc_int32_t>(c.code), after = static_cast<utf8proc_int32_t>(next.code);
    if (utf8proc_grapheme_break_stateful(before, after, &state) != 0 && !is_later_part(next.code)) break;
    c = next;
  }
  return at;
}

class Charsmap : public Normalizer {
 public:
  explicit Charsmap(const JsonNode& node) {
    node.only({"type", "precompiled_charsmap"});
    const JsonNode map = node.at("precompiled_charsmap");
    const std::string bytes = decode_base64(map, kLargestMap);
    std::uint32_t size = 0;
    if (bytes.size() >= sizeof size) std::memcpy(&size, bytes.data(), sizeof size);
    const bool whole = size > 0 && size % sizeof(std::uint32_t) == 0 && size <= bytes.size() - sizeof size;
    if (!whole) map.refuse("the map of characters is damaged");
    units_.resize(size / sizeof(std::uint32_t));
    std::memcpy(units_.data(), bytes.data() + sizeof size, size);
    texts_ = bytes.substr(sizeof size + size);
    if (first_invalid_utf8(texts_)) map.refuse("the map of characters is damaged");
  }

  bool apply(Line& line, std::size_t most) const override {
    std::string to;
    std::size_t origin = 0;
    for (std::size_t at = 0; at < line.text.size() && to.size() <= most;) {
      const std::size_t end = end_of_cluster(line.text, at);
      const std::string_view cluster = std::string_view(line.text).substr(at, end - at);
      const auto whole = cluster.size() <= kLongestCluster ? find(cluster) : std::nullopt;
      if (whole) {
        to += *whole;
        if (at < line.origin) origin = to.size();
      }
      for (std::size_t i = 0; !whole && i < cluster.size();) {
        const std::string_view character = cluster.substr(i, decode_at(cluster, i).size);
        to += find(character).value_or(character);
        if (at + i < line.origin) origin = to.size();
        i += character.size();
      }
      at = end;
    }
    line.text = std::move(to);
    line.origin = origin;
    return line.text.size() <= most;
  }

 private:
  // What the shortest prefix of `text` that the map has becomes.
  std::optional<std::string_view> find(std::string_view text) const {
    std::size_t at = Unit(units_[0]).offset();
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      at ^= byte;
      if (byte == 0 || at >= units_.size()) return std::nullopt;
      const Unit unit(units_[at]);
      if (unit.label() != byte) return std::nullopt;
      at ^= unit.offset();
      if (!unit.has_leaf()) continue;
      if (at >= units_.size()) return std::nullopt;
      const std::size_t begin = Unit(units_[at]).value();
      if (begin > texts_.size()) return std::nullopt;
      const std::string_view rest = std::string_view(texts_).substr(begin);
      return rest.substr(0, std::min(rest.find('\0'), rest.size()));
    }
    return std::nullopt;
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;  // each ended by a NUL
};

}  // namespace

std::unique_ptr<const Normalizer> make_charsmap(const JsonNode& node) { return std::make_unique<Charsmap>(node); }

}  // namespace pkv::text
