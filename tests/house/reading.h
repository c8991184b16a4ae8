// Reading sources for the checks: files of a folder, lines, code without its comments.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pkv::house {

// Files of root/folder, at any depth, that end in one of `endings`; relative to root, sorted. None if there is no
// folder.
std::vector<std::string> files_under(const std::filesystem::path& root, const std::string& folder,
                                     const std::vector<std::string>& endings);

std::vector<std::string> lines_of(const std::string& text);

// The text with its // and /* */ comments blanked out; lines stay where they are, strings stay whole.
std::string without_comments(const std::string& text);

// README.md, CONTRIBUTING.md, models/README.md and docs/**.md: those that exist.
std::vector<std::string> documents(const std::filesystem::path& root);

}  // namespace pkv::house
