#include "files/hub/id.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/hf/repo_name.h"

namespace pkv::hub {

std::string Id::text() const { return revision == "main" ? repo : repo + "@" + revision; }

std::string why_no_id(std::string_view text) {
  const auto at = text.find('@');
  if (at != text.npos && !hf::is_revision(text.substr(at + 1))) return "what follows @ is not the name of a revision";
  return hf::why_no_repo(text.substr(0, at));
}

Id parse_id(std::string_view text) {
  if (const std::string why = why_no_id(text); !why.empty()) {
    fail_usage({.what = "is not the name of a model on the Hugging Face Hub",
                .where = quote(text),
                .expected = "name, organisation/name or organisation/name@revision",
                .found = why});
  }
  const auto at = text.find('@');
  if (at == text.npos) return {.repo = std::string(text)};
  return {.repo = std::string(text.substr(0, at)), .revision = std::string(text.substr(at + 1))};
}

bool is_safe_path(std::string_view name) {
  if (name.size() > 1000) return false;
  while (true) {
    const auto slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (!is_plain_file_name(part) || part.size() > 255) return false;
    if (slash == name.npos) return true;
    name.remove_prefix(slash + 1);
  }
}

}  // namespace pkv::hub
