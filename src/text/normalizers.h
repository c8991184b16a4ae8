// Normalisers: what happens to the text before it is split into words. NFC, NFD, NFKC, NFKD, Lowercase, Strip,
// StripAccents, BertNormalizer, Replace, Prepend, Precompiled (charsmap.h), ByteLevel and Sequence; any other is
// refused by name. Where a character of the result came from is not kept, since nobody asks for offsets here; but for
// the first one, which Metaspace asks for.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "base/json_node.h"
#include "text/pretokenizers.h"

namespace pkv::text {

// A text on its way to words.
struct Line {
  explicit Line(std::string of, bool at_start = true, bool goes_on = false);

  bool from_start() const { return origin > 0; }

  std::string text;
  bool goes_on;  // other text stood before it, from which it was cut: nothing is put in front
  // Bytes at its beginning that stand for the first character of the whole text; none when that was removed.
  std::size_t origin;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // False when the result would be longer than `most` bytes; the line is then worth nothing.
  virtual bool apply(Line& line, std::size_t most) const = 0;

  // Where the text may be cut, as far as this is concerned; see cuts.h.
  virtual CutBefore leaves_cuts() const { return CutBefore::nothing; }
  // What every space becomes, where that is all that happens; empty otherwise.
  virtual std::string_view mark() const { return {}; }
  // Spaces stay spaces, for whoever comes next to see.
  virtual bool keeps_spaces() const { return true; }
  // What stands in front of every line, where that is all that happens; empty otherwise.
  virtual std::string_view puts_before() const { return {}; }
};

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

}  // namespace pkv::text
