#include "files/hub/id.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

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

std::string without_address(std::string_view text) {
  constexpr std::string_view kHosts[] = {"huggingface.co/", "www.huggingface.co/", "hf.co/"};
  constexpr std::string_view kViews[] = {"tree", "blob", "resolve", "raw", "commit", "commits", "discussions"};
  std::string_view rest = text;
  bool schemed = false;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size()), schemed = true;
  }
  const auto* const host = std::ranges::find_if(kHosts, [&](std::string_view h) { return rest.starts_with(h); });
  if (host == std::end(kHosts) || (!schemed && host->starts_with("www"))) return std::string(text);
  rest.remove_prefix(host->size());
  rest = rest.substr(0, rest.find_first_of("?#"));
  const auto next = [&] {
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    return part;
  };
  const auto is_view = [&](std::string_view part) { return std::ranges::find(kViews, part) != std::end(kViews); };
  std::string name(next());
  std::string_view view = next();
  if (!view.empty() && !is_view(view)) {
    name += '/';
    name += view;
    view = next();
  }
  const std::string_view revision = next();
  const bool of_revision = is_view(view) && view != "discussions" && view != "commits";
  if (of_revision && rest.ends_with(".gguf")) (name += '/') += rest;
  if (of_revision && !revision.empty() && revision != "main") (name += '@') += revision;
  return name;
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

Id parse_id(std::string_view given) {
  const std::string text = without_address(given);
  if (const std::string why = why_no_id(text); !why.empty()) {
    fail_usage({.what = "is not the name of a model on the Hugging Face Hub",
                .where = quote(given),
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
