// What a Hub says, read from its text: etags, ranges and the JSON of its listings. Everything here takes text
// that a stranger wrote: it gives a value or a load error, and never more memory than the text deserves. Knows nothing
// of connections.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::hub {

// A file's etag as huggingface_hub names blobs by: without W/ and quotes. None when it cannot be a file's name.
std::optional<std::string> normal_etag(std::string_view header);

// "bytes 100-199/200".
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> size;  // none for "*"
};
std::optional<ContentRange> parse_content_range(std::string_view header);

// The address of the next page, of a Link header; empty when there is none.
std::string next_page(std::string_view link);

// GET /api/models/ID/revision/REVISION.
struct RepoInfo {
  std::string commit;
  std::vector<std::string> files;  // sorted
};
RepoInfo parse_repo_info(std::string_view text, std::string_view source);

struct RepoFile {
  std::string name;                   // with its folders; safe to use below a folder
  std::optional<std::uint64_t> size;  // of what it means, not of a pointer to it
  std::string git, sha256, xet;       // digests; empty when unknown. `git` may be that of a pointer to the file

  std::string digest() const;  // of its bytes; empty when unknown
};
constexpr std::size_t kMostFiles = 100'000;

// GET /api/models/ID/tree/COMMIT?recursive=True: one page of it. Files with names that are no safe paths are left out.
std::vector<RepoFile> parse_tree_page(std::string_view text, std::string_view source);

// trees/COMMIT.json of the cache, which huggingface_hub writes and reads too. None when it is of a format not known.
std::optional<std::vector<RepoFile>> parse_tree_file(std::string_view text, std::string_view source);
std::string tree_file_text(const std::vector<RepoFile>& files);

}  // namespace pkv::hub
