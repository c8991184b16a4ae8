#include "files/hub/id.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/hf/repo_name.h"

namespace pkv::hub {

namespace {

bool is_tag(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 96 && std::ranges::all_of(text, fits);
}

// Without looking whether they are allowed. The revision stands last, or before a colon, which none may hold.
Id split(std::string_view text) {
  Id id;
  const auto at = text.find('@');
  std::string_view name = text.substr(0, at), revision = at == text.npos ? "main" : text.substr(at + 1);
  const bool late = revision.find(':') != revision.npos;
  std::string_view& tagged = late ? revision : name;
  if (const auto colon = tagged.find(':'); colon != tagged.npos) {
    id.gguf = tagged.substr(colon + 1);
    tagged = tagged.substr(0, colon);
  } else if (const auto slash = name.find('/'); name.ends_with(".gguf") && slash != name.npos) {
    if (const auto second = name.find('/', slash + 1); second != name.npos) {
      id.gguf = name.substr(second + 1);
      name = name.substr(0, second);
    }
  }
  id.repo = name;
  id.revision = revision;
  return id;
}

}  // namespace

std::string Id::text() const {
  const std::string which = gguf.empty() ? "" : fmt::format("{}{}", names_file() ? '/' : ':', gguf);
  return repo + which + (revision == "main" ? "" : "@" + revision);
}

std::string why_no_id(std::string_view text) {
  const Id id = split(text);
  if (!hf::is_revision(id.revision)) return "what follows @ is not the name of a revision";
  if (const std::string why = hf::why_no_repo(id.repo); !why.empty()) return why;
  if (id.names_file()) return is_safe_path(id.gguf) ? "" : "its file has no name that is allowed";
  if (text.find(':') == text.npos) return {};
  if (!is_tag(id.gguf)) return "what follows : is not the name of a quantisation";
  return id.repo.find('/') == id.repo.npos ? "what stands before : is not organisation/name" : "";
}

Id parse_id(std::string_view text) {
  if (const std::string why = why_no_id(text); !why.empty()) {
    fail_usage({.what = "is not the name of a model on the Hugging Face Hub",
                .where = quote(text),
                .expected = "name, organisation/name, organisation/name@revision, or of GGUF files "
                            "organisation/name:Q4_K_M or organisation/name/file.gguf",
                .found = why});
  }
  return split(text);
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
