// Digests that the Hub names files by: SHA-256 of large files (their etag has 64 hexadecimal digits), git's SHA-1 of a
// blob of small ones (40 digits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pkv::hub {

class Digest {
 public:
  enum class Kind { sha256, git, none };

  static Kind kind_of(std::string_view etag);

  // `size` is that of all bytes to come: git begins with it.
  Digest(Kind kind, std::uint64_t size);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void add(std::span<const std::byte> bytes);
  std::string finish();  // hexadecimal; empty for Kind::none

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pkv::hub
