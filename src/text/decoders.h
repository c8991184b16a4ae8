// Decoders: tokens back to text, as a chain of stages that pass text on as soon as it is certain. Decoding a whole list
// of ids runs the same chain, so both give the same text. ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace,
// WordPiece and Sequence; any other is refused by name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_node.h"

namespace pkv::text {

// A stage reads tokens and writes tokens to the next one. A token comes in any number of pieces and ends with end().
class Stage {
 public:
  virtual ~Stage() = default;
  virtual void piece(std::string_view text) = 0;
  virtual void end() = 0;     // of the token
  virtual void finish() = 0;  // of the text; afterwards the stage is as new. Does not finish the next one.
};

// One step of the decoder of tokenizer.json: makes a stage that writes to `next`.
using MakeStage = std::function<std::unique_ptr<Stage>(Stage& next)>;

struct Decoder {
  std::vector<MakeStage> steps;
};

Decoder make_decoder(const JsonNode& node);
Decoder joining_with_spaces();    // of a tokenizer without decoder
void clean_up(Decoder& decoder);  // takes spaces away from before punctuation and the ends of contractions, at last

// A decoder at work.
class DecodeChain {
 public:
  explicit DecodeChain(const Decoder& decoder);
  ~DecodeChain();

  void token(std::string_view token);
  void finish();
  std::string take();  // what is certain by now; ends at a character's end

 private:
  class Collect;
  std::unique_ptr<Collect> collect_;
  std::vector<std::unique_ptr<Stage>> stages_;  // first one last
};

}  // namespace pkv::text
