// Normalisers: what happens to the text before it is split into words. NFC, NFD, NFKC, NFKD, Lowercase, Strip,
// StripAccents, Replace, Prepend, Precompiled (charsmap.h), ByteLevel and Sequence; any other is refused by name. Where
// a character of the result came from is not kept, since nobody asks for offsets here; but for the first one, which
// Metaspace asks for.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "base/json_node.h"

namespace pkv::text {

// A text on its way to words.
struct Line {
  explicit Line(std::string of, bool at_start = true);

  bool from_start() const { return origin > 0; }

  std::string text;
  // Bytes at its beginning that stand for the first character of the whole text; none when that was removed.
  std::size_t origin;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // False when the result would be longer than `most` bytes; the line is then worth nothing.
  virtual bool apply(Line& line, std::size_t most) const = 0;

  // The text may be cut before ASCII white space that follows something else; see cuts.h.
  virtual bool leaves_cuts() const { return false; }
  // What every space becomes, where that is all that happens; empty otherwise.
  virtual std::string_view mark() const { return {}; }
};

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

}  // namespace pkv::text
