// Shell commands run as a reader of the documentation would run them: in a scratch copy of the source folder, with the
// built `pkv` on the PATH. A crash or a sanitizer's complaint ends with an exit status that pkv itself never uses.
#pragma once

#include <filesystem>
#include <string>

namespace pkv::support {

// A new folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Writes `text` to a file of that relative path, with its folders.
  void write(const std::filesystem::path& file, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

struct Ran {
  int status = 0;  // as the shell has it: 128 + signal for a program killed, 124 for one that took too long
  std::string out, err;
};

class Shell {
 public:
  // A scratch folder with a link to everything in `source` but build/; `program` is run by the names pkv and
  // build/release/pkv. What commands write beside those links is gone when the shell is.
  Shell(const std::filesystem::path& source, const std::filesystem::path& program);

  // Runs one command line of bash, a failure anywhere in a pipe being the pipe's. `await 'COMMAND'` waits until COMMAND
  // succeeds, and fails when what runs in the background ends before.
  Ran run(const std::string& command) const;

  // The scratch folder: what it is called differs from run to run.
  const std::filesystem::path& folder() const { return work_; }

 private:
  TemporaryFolder folder_;
  std::filesystem::path work_;
};

std::string read(const std::filesystem::path& file);

}  // namespace pkv::support
