#include "text/postprocessors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace pkv::text {
namespace {

constexpr int kMostTexts = 8;  // each is a copy of all ids

std::int32_t read_id(const JsonNode& node) { return static_cast<std::int32_t>(node.integer(0, INT32_MAX)); }

// ["<s>", 0]
std::int32_t read_named_id(const JsonNode& node) {
  const auto both = node.elements();
  if (both.size() != 2) node.wrong("[token, id]");
  both[0].text();
  return read_id(both[1]);
}

// Of RobertaProcessing and BertProcessing, which differ in offsets only.
Template read_frame(const JsonNode& node) {
  node.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  const std::int32_t cls = read_named_id(node.at("cls")), sep = read_named_id(node.at("sep"));
  return {{{false, {cls}}, {true, {}}, {false, {sep}}}};
}

std::vector<std::int32_t> special_ids(const JsonNode& specials, const JsonNode& id) {
  if (!specials.has(id.text())) id.refuse("is not among special_tokens");
  const JsonNode special = specials.at(id.text());
  special.only({"id", "ids", "tokens"});
  std::vector<std::int32_t> ids;
  for (const JsonNode& n : special.at("ids").elements()) ids.push_back(read_id(n));
  return ids;
}

// `pair` is what stands around two texts, of which there is one here.
Template read_template(const JsonNode& node) {
  node.only({"type", "single", "pair", "special_tokens"});
  Template t;
  int texts = 0;
  for (const JsonNode& piece : node.at("single").elements()) {
    piece.only({"Sequence", "SpecialToken"});
    if (piece.has("Sequence") == piece.has("SpecialToken")) piece.wrong("either a Sequence or a SpecialToken");
    if (piece.has("SpecialToken")) {
      piece.at("SpecialToken").only({"id", "type_id"});
      t.parts.push_back({false, special_ids(node.at("special_tokens"), piece.at("SpecialToken").at("id"))});
      continue;
    }
    piece.at("Sequence").only({"id", "type_id"});
    const JsonNode id = piece.at("Sequence").at("id");
    if (id.text() != "A") id.wrong("\"A\": there is no second text in `single`");
    t.parts.push_back({true, {}});
    if (++texts > kMostTexts) id.refuse(fmt::format("the text stands more than {} times in `single`", kMostTexts));
  }
  return t;
}

// Collects what adds tokens; at most one may.
void read(const JsonNode& node, std::optional<Template>& found) {
  const std::string type = node.type();
  if (type == "Sequence") {
    node.only({"type", "processors"});
    for (const JsonNode& n : node.at("processors").elements()) read(n, found);
  } else if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  } else if (type == "RobertaProcessing" || type == "BertProcessing" || type == "TemplateProcessing") {
    if (found) node.at("type").refuse("a second post-processor that adds tokens is not supported");
    found = type == "TemplateProcessing" ? read_template(node) : read_frame(node);
  } else {
    node.at("type").refuse("this post-processor is not supported",
                           "RobertaProcessing, BertProcessing, TemplateProcessing, ByteLevel or Sequence");
  }
}

}  // namespace

Template no_template() { return {{{true, {}}}}; }

Template make_post_processor(const JsonNode& node) {
  std::optional<Template> found;
  read(node, found);
  return found ? std::move(*found) : no_template();
}

std::vector<std::int32_t> special_tokens_before(const Template& t) {
  std::vector<std::int32_t> ids;
  for (const Template::Part& part : t.parts) {
    if (part.text) break;
    ids.insert(ids.end(), part.ids.begin(), part.ids.end());
  }
  return ids;
}

std::vector<std::int32_t> special_tokens_after(const Template& t) {
  const auto text = std::find_if(t.parts.begin(), t.parts.end(), [](const Template::Part& p) { return p.text; });
  std::vector<std::int32_t> ids;
  for (auto part = text + 1; part < t.parts.end(); ++part) ids.insert(ids.end(), part->ids.begin(), part->ids.end());
  return ids;
}

std::vector<std::int32_t> apply_template(const Template& t, std::vector<std::int32_t> ids, bool add_special_tokens) {
  if (t.parts.size() == 1 && t.parts[0].text) return ids;
  std::vector<std::int32_t> out;
  out.reserve(ids.size() + t.parts.size());
  for (const Template::Part& part : t.parts) {
    if (part.text) {
      out.insert(out.end(), ids.begin(), ids.end());
    } else if (add_special_tokens) {
      out.insert(out.end(), part.ids.begin(), part.ids.end());
    }
  }
  return out;
}

}  // namespace pkv::text
