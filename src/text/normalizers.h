// Normalisers: what happens to the text before it is split into words. NFC, NFKC, Lowercase, Replace, Prepend and
// Sequence; any other is refused by name. Where a character of the result came from is not kept: nobody asks for
// offsets here.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "base/json_node.h"

namespace pkv::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // None when the result would be longer than `most` bytes.
  virtual std::optional<std::string> apply(std::string text, std::size_t most) const = 0;

  // The text may be cut before ASCII white space that follows something else; see cuts.h.
  virtual bool leaves_cuts() const { return false; }
};

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

}  // namespace pkv::text
