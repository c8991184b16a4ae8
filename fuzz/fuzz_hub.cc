// What a Hub may send, as text: headers, etags, ranges, links, listings, indices. Each gives a value or a load error;
// a name that comes through leads to no place outside its folder.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "files/hf/repo_name.h"
#include "files/http/headers.h"
#include "files/http/http.h"
#include "files/hub/choice.h"
#include "files/hub/id.h"
#include "files/hub/wire.h"

namespace {

void attempt(const auto& body) {
  try {
    body();
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
}

void require(bool holds) {
  if (!holds) std::abort();
}

void require_inside(std::string_view name) {
  for (bool more = true; more;) {
    const auto slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    require(!part.empty() && part != "." && part != "..");
    more = slash != name.npos;
    if (more) name.remove_prefix(slash + 1);
  }
}

void headers(std::string_view text) {
  pkv::http::Headers headers;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n') + 1);
    headers.add(line.empty() ? text : line);
    text.remove_prefix(line.empty() ? text.size() : line.size());
  }
  headers.number("content-length");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace pkv::hub;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  headers(text);
  if (const auto etag = normal_etag(text)) require(etag->find('/') == etag->npos && *etag != "..");
  if (const auto range = parse_content_range(text)) require(range->first <= range->last);
  if (const auto wait = pkv::http::parse_rate_limit(text)) require(*wait >= 0);
  const std::string url = pkv::http::absolute_url("https://h.example/a/b", next_page(text));
  if (!url.empty()) require(url.starts_with("https://") || url.starts_with("http://"));
  pkv::http::origin_of(std::string(text.substr(0, text.find('\0'))));
  if (is_id(text))
    require(pkv::hf::repo_of_folder(pkv::hf::folder_of_repo(parse_id(text).repo)) == parse_id(text).repo);
  attempt([&] {
    for (const auto& name : parse_repo_info(text, "f").files) require_inside(name);
  });
  attempt([&] {
    for (const auto& file : parse_tree_page(text, "f")) require_inside(file.name);
  });
  attempt([&] {
    const auto files = parse_tree_file(text, "f");
    if (files) require(parse_tree_file(tree_file_text(*files), "f").has_value());
  });
  return 0;
}
