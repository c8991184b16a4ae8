#include "subjects/saved.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace pkv::subjects {
namespace {

std::filesystem::path temporary_folder(const std::filesystem::path& in) {
  std::error_code error;
  const std::filesystem::path place = in.empty() ? std::filesystem::temp_directory_path(error) : in;
  if (error) fail_load({.what = "there is no folder for temporary files: " + error.message(), .hint = "--past-dir"});
  std::string pattern = (place / "pkv-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) != nullptr) return pattern;
  fail_load({.what = fmt::format("cannot make a folder for saved pasts: {}", std::strerror(errno)),
             .where = pattern,
             .hint = "--past-dir"});
}

}  // namespace

SavedPasts::~SavedPasts() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

bool SavedPasts::can_save(const model::Model& model) {
  try {
    model::require_savable(model);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::filesystem::path SavedPasts::next() {
  if (folder_.empty()) folder_ = temporary_folder(scratch_);
  return folder_ / fmt::format("{}.safetensors", count_++);
}

}  // namespace pkv::subjects
