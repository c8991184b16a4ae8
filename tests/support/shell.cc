#include "support/shell.h"

#include <stdlib.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace pkv::support {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "pkv-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error(name + ": cannot create");
  path_ = fs::canonical(name);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void TemporaryFolder::write(const fs::path& file, const std::string& text) const {
  fs::create_directories((path_ / file).parent_path());
  std::ofstream(path_ / file, std::ios::binary) << text;
}

Shell::Shell(const fs::path& source, const fs::path& program) : work_(folder_.path() / "work") {
  fs::create_directories(work_ / "build" / "release");
  for (const auto& entry : fs::directory_iterator(source)) {
    const fs::path name = entry.path().filename();
    if (name != "build" && name != ".git") fs::create_symlink(entry.path(), work_ / name);
  }
  fs::create_symlink(program, work_ / "build" / "release" / "pkv");
}

Ran Shell::run(const std::string& command) const {
  // Sanitizers exit with 1 unless told otherwise, which is an answer of pkv's.
  folder_.write("script",
                "exec </dev/null >'" + (folder_.path() / "out").string() + "' 2>'" + (folder_.path() / "err").string() +
                    "'\n" +                                                   //
                    "export ASAN_OPTIONS=\"${ASAN_OPTIONS-}:exitcode=99\"\n"  //
                    "export UBSAN_OPTIONS=\"${UBSAN_OPTIONS-}:exitcode=99:print_stacktrace=1\"\n"
                    "export LC_ALL=C.UTF-8 TZ=UTC0 TERM=dumb NO_COLOR=1\n"
                    "unset COLUMNS LINES LANGUAGE PKV_MODELS SOURCE_DATE_EPOCH\n"
                    "unset HF_TOKEN HF_TOKEN_PATH HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_ENDPOINT\n"
                    "export HF_HUB_OFFLINE=1 HF_HOME='" +
                    (work_ / "huggingface").string() +
                    "'\n"
                    "set -o pipefail\n"
                    "await() {\n"
                    "  until eval \"$1\"; do\n"
                    "    kill -0 $! 2> /dev/null || eval \"$1\" || { echo \"ended before: $1\" >&2; return 1; }\n"
                    "    sleep 0.02\n"
                    "  done\n"
                    "}\n"
                    "cd '" +
                    work_.string() + "'\nPATH=\"$PWD/build/release:$PATH\"\n" + command + "\n");
  const std::string line = "timeout --kill-after=10 300 bash '" + (folder_.path() / "script").string() + "'";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read(folder_.path() / "out"),
          read(folder_.path() / "err")};
}

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file.string() + ": cannot read");
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace pkv::support
