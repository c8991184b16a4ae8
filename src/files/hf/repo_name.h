// Names of the Hugging Face Hub's repositories, revisions and commits, and of the folder that its cache keeps a
// repository in. Works on texts alone; what is not such a name never reaches a URL or a path.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pkv::hf {

// Why the text is no repository's name (`name` or `organisation/name`); empty when it is one.
std::string why_no_repo(std::string_view text);
bool is_revision(std::string_view text);  // fit for a URL and for a file below refs/
bool is_commit(std::string_view text);    // 40 lower-case hexadecimal digits

// "models--mosaicml--mpt-7b", and back; none when the folder is not that of a model.
std::string folder_of_repo(std::string_view repo);
std::optional<std::string> repo_of_folder(std::string_view folder);

}  // namespace pkv::hf
