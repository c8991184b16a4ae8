// What `pkv generate` shows: text as it comes, or one JSON object at the end.
//
// Text goes to stdout, the first sequence while it is written, the others after it; with --output-file all of it goes
// there, in the end. Of one sequence that is nothing but what the model wrote; each of several has a line with its
// number and seed in front. The prompt, which a terminal shows dimmed before the text, and the summary go to stderr.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate/generate.h"
#include "engine/generate/stop.h"
#include "options/output.h"
#include "text/text.h"

namespace pkv {
class JsonWriter;
}

namespace pkv::program {

struct Writing {
  std::optional<std::string> prompt;  // none: without a tokenizer
  std::vector<std::int32_t> ids;      // the prompt's
  std::vector<std::string> stop;
  generate::Options options;
  std::int64_t saved_tokens = 0;  // in the saved past that it goes on from
};

class Writer {
 public:
  // Without a tokenizer ids are written: "550,293".
  Writer(const text::Tokenizer* tokenizer, const Writing& writing, const OutputOptions& output);

  // False when a stop text ends the sequence.
  bool add(const generate::Token& token);

  void finish(const model::Model& model, const std::string& name, const generate::Result& result);

 private:
  // One sequence: ids become text, which is held back where a stop text may begin.
  struct Written {
    std::optional<text::Tokenizer::Stream> stream;
    generate::StopText stop;
    std::string text;
    bool ended = false;
  };

  void begin();
  std::string piece(Written& written, std::int32_t id);
  void append(Written& written, const std::string& text);
  void end(Written& written);
  std::string text_of(std::size_t sequence) const;
  void summarise(const generate::Result& result) const;
  void write_sequence(JsonWriter& json, std::size_t i, const generate::Sequence& sequence) const;
  std::string json(const model::Model& model, const std::string& name, const generate::Result& result) const;

  const text::Tokenizer* tokenizer_;
  const Writing& writing_;
  const OutputOptions& output_;
  bool to_stdout_, begun_ = false;
  std::vector<Written> written_;
};

}  // namespace pkv::program
