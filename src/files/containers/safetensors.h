// One safetensors file: its header checked to the full rules of the format, its tensors as Views into the mapped file.
// Reading the header does not read the data. Also the writer, to the same rules.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "files/containers/tensor_file.h"

namespace pkv::containers {

class SafeTensors : public TensorFile {
 public:
  static constexpr std::uint64_t kMaxHeader = 100'000'000;

  // Tensors are in the order of their data.
  static SafeTensors open(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  SafeTensors(TensorFile file, std::map<std::string, std::string> metadata)
      : TensorFile(std::move(file)), metadata_(std::move(metadata)) {}

  std::map<std::string, std::string> metadata_;
};

// Checks a header (the bytes after the 8 byte length) against a data part of `data_size` bytes. Split from `open` so
// that it can be fuzzed without files. Two limits are ours, so that a hostile header cannot spend memory: rank at most
// kMaxFileRank, and at most kMaxMetadata entries of __metadata__.
struct Header {
  static constexpr std::size_t kMaxFileRank = 16;
  static constexpr std::size_t kMaxMetadata = 65'536;

  struct Entry {
    std::string name;
    std::string_view dtype;         // as in the file, of static storage
    std::optional<DType> readable;  // none for a dtype that pkv cannot read
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;  // bytes from the start of the data part
  };
  std::vector<Entry> entries;  // sorted by `begin`
  std::map<std::string, std::string> metadata;
};
Header parse_header(std::string_view json, std::uint64_t data_size, std::string_view file);

// A tensor whose data is made while it is written: `write` hands it to the sink, in order, in pieces of any size.
using Sink = std::function<void(std::span<const std::byte>)>;
struct Planned {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::function<void(const Sink&)> write;
};

// Written beside its place and renamed. Same bytes as the reference implementation writes: tensors by dtype, widest
// first, then by name; the header padded with spaces so that data starts aligned to 8. Usage error for a name given
// twice or that is no UTF-8, for data that does not match shape and dtype, and for a header above kMaxHeader.
void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       const std::map<std::string, std::string>& metadata);
// Error::internal when `write` gives more or fewer bytes than it should.
struct Streaming {
  std::function<void(std::uint64_t bytes)> wrote = {};  // told the size of each piece
  std::uint64_t align_last = 1;  // the data of the last tensor starts at a multiple of this, by a longer header
  bool owner_only = false;       // mode 0600
};
void stream_safetensors(const std::filesystem::path& path, std::span<const Planned> tensors,
                        const std::map<std::string, std::string>& metadata, const Streaming& how = {});
std::uint64_t bytes_of(const Planned& tensor);  // usage error for a shape that overflows

}  // namespace pkv::containers
