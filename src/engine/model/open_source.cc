#include "engine/model/open_source.h"

#include <set>

#include "engine/model/gguf/source.h"
#include "files/hf/folder.h"

namespace pkv::model {

std::unique_ptr<const Source> open_source(const std::filesystem::path& path) {
  if (!gguf::is_gguf_file(path)) return std::make_unique<const hf::Folder>(hf::Folder::open(path));
  return std::make_unique<const GgufSource>(GgufSource::open(path));
}

std::vector<std::filesystem::path> weight_files(const Source& source) {
  std::set<std::filesystem::path> files;
  for (const containers::Tensor& t : source.tensors()) files.insert(t.file->path());
  for (const containers::Unreadable& t : source.unreadable()) files.insert(t.file->path());
  return {files.begin(), files.end()};
}

}  // namespace pkv::model
