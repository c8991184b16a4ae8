#include "files/hf/repo_name.h"

#include <algorithm>

namespace pkv::hf {
namespace {

constexpr std::string_view kPrefix = "models--";

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// The rules of huggingface_hub's validate_repo_id for one of the two parts.
std::string why_no_part(std::string_view part) {
  if (part.empty()) return "a part of it is empty";
  if (part.size() > 96) return "a part of it has more than 96 characters";
  if (!std::ranges::all_of(part, [](char c) { return is_word(c) || c == '-' || c == '.'; })) {
    return "it has characters other than letters, digits, - _ .";
  }
  if (!is_word(part.front()) || !is_word(part.back())) return "a part of it begins or ends with - or .";
  return {};
}

}  // namespace

std::string why_no_repo(std::string_view repo) {
  if (std::ranges::count(repo, '/') > 1) return "it has more than one /";
  if (repo.find("--") != repo.npos || repo.find("..") != repo.npos) return "it has -- or ..";
  if (repo.ends_with(".git")) return "it ends in .git";
  const auto slash = repo.find('/');
  if (slash == repo.npos) return why_no_part(repo);
  const std::string why = why_no_part(repo.substr(0, slash));
  return why.empty() ? why_no_part(repo.substr(slash + 1)) : why;
}

bool is_revision(std::string_view text) {
  if (text.empty() || text.size() > 250 || text.find("..") != text.npos || text.front() == '-') return false;
  if (!std::ranges::all_of(
          text, [](char c) { return is_word(c) || std::string_view("-./+").find(c) != std::string_view::npos; })) {
    return false;
  }
  return text.find("//") == text.npos && text.front() != '/' && text.back() != '/' && text.front() != '.' &&
         text.find("/.") == text.npos && !text.ends_with(".lock");
}

bool is_commit(std::string_view text) { return text.size() == 40 && std::ranges::all_of(text, is_hex); }

std::string folder_of_repo(std::string_view repo) {
  std::string folder(kPrefix);
  for (const char c : repo) folder += c == '/' ? "--" : std::string(1, c);
  return folder;
}

std::optional<std::string> repo_of_folder(std::string_view folder) {
  if (!folder.starts_with(kPrefix)) return {};
  std::string repo(folder.substr(kPrefix.size()));
  if (const auto at = repo.find("--"); at != repo.npos) repo.replace(at, 2, "/");
  if (!why_no_repo(repo).empty()) return {};
  return repo;
}

}  // namespace pkv::hf
