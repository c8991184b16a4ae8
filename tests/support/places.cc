#include "support/places.h"

namespace pkv::support {

const std::filesystem::path& source() {
  static const std::filesystem::path path = PKV_SOURCE_DIR;
  return path;
}

const std::filesystem::path& program() {
  static const std::filesystem::path path = PKV_PROGRAM;
  return path;
}

}  // namespace pkv::support
