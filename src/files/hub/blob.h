// One blob being written: bytes go to its .incomplete, digested as they come, and `finish` gives it its name if they
// are right. Bytes that an earlier try left are the beginning. Not part of the room's door.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "files/hub/digest.h"

namespace pkv::hub {

// A name beside a blob for what is on its way there, another one with every call of any process.
std::filesystem::path incomplete_name(const std::filesystem::path& blob);

class BlobWriter {
 public:
  // `digest`: what the bytes are checked against; a text that is no digest (Digest::kind_of) checks nothing. `shared`
  // says that a lock is held: then the file is named so that a later try finds it. Otherwise the file is this writer's
  // own, and gone at the end. Nothing is resumed without a size, since git's digest begins with it.
  BlobWriter(std::filesystem::path blob, std::string digest, std::optional<std::uint64_t> size, bool shared);
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  std::uint64_t written() const { return written_; }
  bool resumed() const { return resumed_; }
  bool sized() const { return size_.has_value(); }
  bool complete() const { return size_ && written_ == *size_; }

  void expect(std::uint64_t size);  // once it is known; error when it contradicts
  void restart();                   // with nothing written
  void write(std::string_view bytes);
  // Empty when the blob is in its place; otherwise what is wrong with it, and it is gone.
  std::string finish();

 private:
  void take_up();
  void begin_digest();
  void set_size(std::uint64_t size);

  std::filesystem::path blob_, path_;
  std::string named_;  // the digest that it must have
  std::optional<std::uint64_t> size_;
  bool shared_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;
  bool resumed_ = false;
  Digest digest_;
};

}  // namespace pkv::hub
