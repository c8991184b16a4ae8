#include "base/json_writer.h"

#include <cstdio>

#include "base/utf8.h"

namespace pkv {
namespace {

void append_escaped_unit(std::string& out, unsigned unit) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\u";
  for (const int shift : {12, 8, 4, 0}) out += kDigits[unit >> shift & 0xf];
}

// UTF-16, as JSON wants it.
void append_escaped(std::string& out, char32_t code) {
  if (code < 0x10000) return append_escaped_unit(out, code);
  append_escaped_unit(out, 0xd7c0 + (code >> 10));
  append_escaped_unit(out, 0xdc00 + (code & 0x3ff));
}

void append_ascii(std::string& out, char c) {
  switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      if (static_cast<unsigned char>(c) < 0x20) return append_escaped_unit(out, static_cast<unsigned char>(c));
      out += c;
  }
}

std::string mended(std::string_view text) {
  std::string valid;
  Mender mender;
  mender.push(text, valid);
  mender.finish(valid);
  return valid;
}

}  // namespace

std::string json_text(std::string_view text, bool ascii) {
  std::string valid;
  if (first_invalid_utf8(text)) text = valid = mended(text);
  std::string out = "\"";
  out.reserve(text.size() + 2);
  for (std::size_t at = 0; at < text.size();) {
    const Character c = decode_at(text, at);
    if (c.code < 0x7f) {
      append_ascii(out, text[at]);
    } else if (ascii) {
      append_escaped(out, c.code);
    } else {
      out += text.substr(at, c.size);
    }
    at += c.size;
  }
  return out += '"';
}

void JsonWriter::key(std::string_view name) {
  before_element();
  text_ += json_text(name, ascii_);
  text_ += indent_ < 0 ? ":" : ": ";
  after_key_ = true;
}

void JsonWriter::open(char bracket) {
  before_element();
  text_ += bracket;
  ++depth_;
  empty_ = true;
}

void JsonWriter::close(char bracket) {
  --depth_;
  if (!empty_) line();
  text_ += bracket;
  empty_ = false;
}

void JsonWriter::element(std::string_view json) {
  before_element();
  text_ += json;
}

void JsonWriter::before_element() {
  if (!after_key_ && depth_ > 0) {
    if (!empty_) text_ += ',';
    line();
  }
  after_key_ = empty_ = false;
}

void JsonWriter::line() {
  if (indent_ < 0) return;
  text_ += '\n';
  text_.append(static_cast<std::size_t>(depth_) * static_cast<std::size_t>(indent_), ' ');
}

}  // namespace pkv
