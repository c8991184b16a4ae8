// Id: which model of the Hugging Face Hub, and which revision of it: `name` or `organisation/name`, with `@revision`
// when it is not `main`. Of a repository of GGUF files also which of them: `organisation/name:Q4_K_M`, as llama.cpp's
// -hf has it, or `organisation/name/file.gguf`. What is not such a name never reaches a URL or a path.
#pragma once

#include <string>
#include <string_view>

namespace pkv::hub {

struct Id {
  std::string repo;               // "gpt2", "mosaicml/mpt-7b"
  std::string revision = "main";  // a branch, a tag or a commit
  std::string gguf = {};          // "Q4_K_M", or the name of a file in the repository; empty: not said
  bool names_file() const { return gguf.ends_with(".gguf"); }
  std::string text() const;  // "mosaicml/mpt-7b", "gpt2@v1", "org/name:Q4_K_M"
};

// What an address of a model's page on the Hub names ("https://huggingface.co/mosaicml/mpt-7b/tree/v1" is
// "mosaicml/mpt-7b@v1"); any other text as it is.
std::string without_address(std::string_view text);

// Why the text is no Id; empty when it is one.
std::string why_no_id(std::string_view text);
inline bool is_id(std::string_view text) { return why_no_id(text).empty(); }
Id parse_id(std::string_view text);  // Error::usage when it is none

// Whether a name in a repository may be used as a path within a folder: relative, without "..", at most 1,000 bytes.
bool is_safe_path(std::string_view name);

}  // namespace pkv::hub
