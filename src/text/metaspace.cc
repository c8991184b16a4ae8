#include "text/metaspace.h"

#include "base/utf8.h"

namespace pkv::text {
namespace {

Prepend read_scheme(const JsonNode& node) {
  const std::string& name = node.text();
  if (name == "always") return Prepend::always;
  if (name == "first") return Prepend::first;
  if (name == "never") return Prepend::never;
  node.wrong("always, first or never");
}

}  // namespace

bool is_one_character(std::string_view text) {
  return !text.empty() && !first_invalid_utf8(text) && decode_at(text, 0).size == text.size();
}

MetaspaceMark read_metaspace(const JsonNode& node) {
  node.only({"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  MetaspaceMark mark;
  mark.replacement = node.at("replacement").text();
  if (!is_one_character(mark.replacement)) node.at("replacement").wrong("one character");
  mark.prepend = node.has("prepend_scheme") ? read_scheme(node.at("prepend_scheme")) : Prepend::always;
  if (!node.flag_or("add_prefix_space", true) && mark.prepend != Prepend::never) {
    node.at("add_prefix_space").refuse("contradicts prepend_scheme, which is \"always\" unless it says otherwise");
  }
  mark.split = node.flag_or("split", true);
  return mark;
}

}  // namespace pkv::text
