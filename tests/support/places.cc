#include "support/places.h"

#include <cstdlib>

namespace pkv::support {
namespace {

// Where it is, for tests that were carried to another machine; else where it was built.
const char* place(const char* variable, const char* built) {
  const char* given = std::getenv(variable);
  return given != nullptr ? given : built;
}

}  // namespace

const std::filesystem::path& source() {
  static const std::filesystem::path path = place("PKV_TEST_SOURCE", PKV_SOURCE_DIR);
  return path;
}

const std::filesystem::path& program() {
  static const std::filesystem::path path = place("PKV_TEST_PROGRAM", PKV_PROGRAM);
  return path;
}

}  // namespace pkv::support
