#include "files/hub/wire.h"

#include "base/file.h"
#include "files/http/headers.h"

namespace pkv::hub {

using http::whole_number;

std::optional<std::string> normal_etag(std::string_view header) {
  while (header.starts_with('W') || header.starts_with('/')) header.remove_prefix(1);
  while (header.starts_with('"')) header.remove_prefix(1);
  while (header.ends_with('"')) header.remove_suffix(1);
  // The names of blobs, and of what lies beside them: a lock, and a file that is not complete.
  if (header.size() > 200 || !is_plain_file_name(header)) return {};
  if (header.ends_with(".incomplete") || header.ends_with(".lock") || header.front() == '.') return {};
  return std::string(header);
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  if (!header.starts_with("bytes ")) return {};
  header.remove_prefix(6);
  const auto dash = header.find('-'), slash = header.find('/');
  if (dash == header.npos || slash == header.npos || slash < dash) return {};
  const auto first = whole_number<std::uint64_t>(header.substr(0, dash));
  const auto last = whole_number<std::uint64_t>(header.substr(dash + 1, slash - dash - 1));
  const std::string_view size = header.substr(slash + 1);
  const auto total = whole_number<std::uint64_t>(size);
  if (!first || !last || *last < *first || (size != "*" && (!total || *total <= *last))) return {};
  return ContentRange{.first = *first, .last = *last, .size = total};
}

std::string next_page(std::string_view link) {
  while (!link.empty()) {
    const auto open = link.find('<'), close = link.find('>');
    if (open == link.npos || close == link.npos || close < open) return {};
    const std::string_view address = link.substr(open + 1, close - open - 1);
    link.remove_prefix(close + 1);
    const std::string_view about = link.substr(0, link.find('<'));
    if (about.find("rel=\"next\"") != about.npos || about.find("rel=next") != about.npos) return std::string(address);
  }
  return {};
}

}  // namespace pkv::hub
