// One safetensors file: its header checked to the full rules of the format, its tensors as Views into the mapped file.
// Reading the header does not read the data. Also the writer, to the same rules.
//
// The mapping is of the file itself: a program that truncates it meanwhile makes a later read of its data a SIGBUS.
// Replace model files by renaming, as this writer does; never write into them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/view.h"

namespace pkv::hf {

struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data = {};              // may be unaligned for its dtype
  std::shared_ptr<const MappedFile> file = nullptr;  // keeps `data` alive; empty for tensors that are to be written

  bool aligned() const;  // `data` starts at a multiple of its element's size
  View view() const;     // error for a rank above View::kMaxRank
};

// A tensor of a dtype that the format has and pkv cannot read (8-bit floats and smaller, complex numbers). It can be
// listed; asking for it is an error, and does not hinder the others of its file.
struct Unreadable {
  std::string name;
  std::string_view dtype;  // as in the file: "F8_E4M3"
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  std::shared_ptr<const MappedFile> file = nullptr;
};
[[noreturn]] void fail_unreadable(const Unreadable& tensor);

class SafeTensors {
 public:
  static constexpr std::uint64_t kMaxHeader = 100'000'000;

  static SafeTensors open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::span<const Tensor> tensors() const { return tensors_; }            // in the order of their data
  std::span<const Unreadable> unreadable() const { return unreadable_; }  // sorted by name
  bool has(std::string_view name) const;                                  // readable or not
  const Tensor* find(std::string_view name) const;                        // null when absent; error when unreadable
  const Tensor& get(std::string_view name) const;  // error that names file and tensor when absent
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::filesystem::path path_;
  std::vector<Tensor> tensors_;
  std::vector<Unreadable> unreadable_;
  std::vector<std::size_t> by_name_;  // places in tensors_
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
  std::uint64_t align_last = 8;  // the data of the last tensor starts at a multiple of this, by a longer header
  bool owner_only = false;       // mode 0600
};
void stream_safetensors(const std::filesystem::path& path, std::span<const Planned> tensors,
                        const std::map<std::string, std::string>& metadata, const Streaming& how = {});
std::uint64_t bytes_of(const Planned& tensor);  // usage error for a shape that overflows

}  // namespace pkv::hf
