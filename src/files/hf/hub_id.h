// Names of the Hugging Face Hub: a model is `name` or `organisation/name`, with `@revision` when it is not `main`. What
// is not such a name never reaches a URL or a path.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pkv::hf {

struct HubId {
  std::string repo;               // "gpt2", "mosaicml/mpt-7b"
  std::string revision = "main";  // a branch, a tag or a commit
  std::string text() const;       // "mosaicml/mpt-7b", "gpt2@v1"
};

// Why the text is no Hub id; empty when it is one.
std::string why_no_hub_id(std::string_view text);
inline bool is_hub_id(std::string_view text) { return why_no_hub_id(text).empty(); }
HubId parse_hub_id(std::string_view text);  // Error::usage when it is none

bool is_revision(std::string_view text);  // fit for a URL and for a file below refs/
bool is_commit(std::string_view text);    // 40 lower-case hexadecimal digits

// Whether a name in a repository may be used as a path within a folder: relative, without "..", at most 1,000 bytes.
bool is_safe_path(std::string_view name);

// "models--mosaicml--mpt-7b", and back; none when the folder is not that of a model.
std::string folder_of_repo(std::string_view repo);
std::optional<std::string> repo_of_folder(std::string_view folder);

}  // namespace pkv::hf
