#include "base/utf8.h"

#include <fmt/format.h>

#include <cstring>

namespace pkv {
namespace {

std::string escaped(char32_t c, std::string_view bytes) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c));
  return std::string(bytes);
}

struct Lead {
  int missing;  // -1: no lead byte
  unsigned char low, high;
};

// Bounds of the second byte exclude overlong forms, surrogates and what lies above U+10FFFF.
Lead lead_of(unsigned char b) {
  if (b < 0x80) return {0, 0, 0};
  if (b >= 0xc2 && b <= 0xdf) return {1, 0x80, 0xbf};
  if (b == 0xe0) return {2, 0xa0, 0xbf};
  if (b == 0xed) return {2, 0x80, 0x9f};
  if (b >= 0xe1 && b <= 0xef) return {2, 0x80, 0xbf};
  if (b == 0xf0) return {3, 0x90, 0xbf};
  if (b >= 0xf1 && b <= 0xf3) return {3, 0x80, 0xbf};
  if (b == 0xf4) return {3, 0x80, 0x8f};
  return {-1, 0, 0};
}

bool eight_ascii(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return (word & 0x8080808080808080ULL) == 0;
}

bool well_formed(std::string_view text, std::size_t at, Lead lead) {
  if (lead.missing < 0 || text.size() - at <= static_cast<std::size_t>(lead.missing)) return false;
  unsigned char low = lead.low, high = lead.high;
  for (int i = 1; i <= lead.missing; ++i) {
    const auto b = static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]);
    if (b < low || b > high) return false;
    low = 0x80, high = 0xbf;
  }
  return true;
}

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8 && eight_ascii(text.data() + at)) {
      at += 8;
      continue;
    }
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    if (!well_formed(text, at, lead)) return at;
    at += static_cast<std::size_t>(lead.missing) + 1;
  }
  return std::nullopt;
}

Character decode_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

std::size_t previous_boundary(std::string_view text, std::size_t at) {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t b) { text.push_back(static_cast<char>(b)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

char32_t next_character(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
  char32_t c = more == 0 ? lead : lead & (0x3fu >> more);
  for (int i = 0; i < more && at < text.size() && (text[at] & 0xc0) == 0x80; ++i) c = c << 6 | (text[at++] & 0x3f);
  return c;
}

std::string printable(std::string_view text) {
  std::string safe;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    const char32_t c = next_character(text, at);
    safe += escaped(c, text.substr(from, at - from));
  }
  return safe;
}

void Mender::push(std::string_view bytes, std::string& out) {
  for (const char c : bytes) byte(static_cast<unsigned char>(c), out);
}

void Mender::byte(unsigned char b, std::string& out) {
  if (missing_ > 0 && b >= low_ && b <= high_) {
    held_.push_back(static_cast<char>(b));
    low_ = 0x80, high_ = 0xbf;
    if (--missing_ > 0) return;
    out += held_;
    held_.clear();
    return;
  }
  finish(out);  // b does not continue what was held
  const Lead lead = lead_of(b);
  if (lead.missing < 0) {
    out += kReplacement;
  } else if (lead.missing == 0) {
    out.push_back(static_cast<char>(b));
  } else {
    held_.push_back(static_cast<char>(b));
    missing_ = lead.missing, low_ = lead.low, high_ = lead.high;
  }
}

void Mender::finish(std::string& out) {
  if (missing_ > 0) out += kReplacement;
  held_.clear();
  missing_ = 0;
}

}  // namespace pkv
