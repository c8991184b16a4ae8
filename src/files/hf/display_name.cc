#include "files/hf/display_name.h"

#include "files/hf/repo_name.h"

namespace pkv::hf {

std::optional<std::string> repo_of_snapshot(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(folder, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (!is_commit(path.filename().string()) || path.parent_path().filename() != "snapshots") return {};
  return repo_of_folder(path.parent_path().parent_path().filename().string());
}

std::string display_name(const std::filesystem::path& folder) {
  if (const auto repo = repo_of_snapshot(folder)) return *repo;
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(folder, error).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace pkv::hf
