// The rules of the house that a program can see. Each check reads the source folder `root` and gives what breaks its
// rule, with file and line; nothing found means that the rule is kept.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pkv::house {

struct Finding {
  std::string file;  // relative to the root
  int line = 1;      // counted from 1
  std::string says;
};
using Findings = std::vector<Finding>;

std::string listed(const Findings& findings);  // one line each: "src/files/hf/config.cc:3: says"

// cmake/rooms.txt: rooms in an order in which each uses only rooms above it, libraries by known names.
Findings broken_room_list(const std::filesystem::path& root);

// docs/house.md: a row of its table for each room of cmake/rooms.txt, and for nothing else.
Findings rooms_not_told(const std::filesystem::path& root);

// Under src/: headers of rooms and libraries that cmake/rooms.txt does not allow, headers of nobody in the list. In all
// code: intrinsics outside src/engine/kernels.
Findings forbidden_includes(const std::filesystem::path& root);

// Headers under src/ that do not open with a comment of 1 to 10 lines and then `#pragma once`. Highway's *-inl.h, read
// once per instruction set, have its toggle instead, after their includes.
Findings headers_without_opening(const std::filesystem::path& root);

// Names of architectures in code under src/, outside engine/model/arch/ and engine/model/architectures.cc, and in
// apps/. Comments may name them, "llama.cpp" is a program's name, and room text may name them where models share names
// with tokenizers. In apps/ and src/subjects, which speak with people, texts of several words may (examples of
// commands, what a library did); a name alone may not: it would be compared with.
Findings architecture_names(const std::filesystem::path& root);

// Links in the documentation (README.md, CONTRIBUTING.md, models/README.md, docs/) to files or headings that do not
// exist. Links to other sites are not followed.
Findings broken_links(const std::filesystem::path& root);

// Verbs of ./dev in the documentation's shell blocks that ./dev help does not list.
Findings unknown_verbs(const std::filesystem::path& root);

// Commands `pkv ...` in the shell blocks of README.md that, run in order in a scratch copy, exit with neither 0 nor 1.
Findings failing_commands(const std::filesystem::path& root, const std::filesystem::path& program);

}  // namespace pkv::house
