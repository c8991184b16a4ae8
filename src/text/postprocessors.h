// Post-processors: which special tokens stand around a text. RobertaProcessing, BertProcessing,
// TemplateProcessing, ByteLevel (which concerns offsets only) and Sequence; any other is refused by name. Pairs of
// texts are not encoded here, so what a template says of them is not read.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json_node.h"

namespace pkv::text {

// The parts of the result in order: special ids, or the text itself.
struct Template {
  struct Part {
    bool text;
    std::vector<std::int32_t> ids;
  };
  std::vector<Part> parts;
};

// Without post-processor: the text alone.
Template no_template();

Template make_post_processor(const JsonNode& node);

// Of a template with one text: the ids in front of it and behind it.
std::vector<std::int32_t> special_tokens_before(const Template& t);
std::vector<std::int32_t> special_tokens_after(const Template& t);

std::vector<std::int32_t> apply_template(const Template& t, std::vector<std::int32_t> ids, bool add_special_tokens);

}  // namespace pkv::text
