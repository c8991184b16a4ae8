// One GGUF file (llama.cpp's format, versions 2 and 3), mapped: its metadata, and where its tensors lie. Opening reads
// the header and no weight. Knows nothing of what keys and names mean: source.h does.
//
// A file may be hostile: every count is held against the bytes that are left before room is made for it, sizes cannot
// wrap, and each tensor lies within the data, aligned, and over no other. Errors are load errors that name the file,
// the key or tensor, and what was found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "files/gguf/ggml_types.h"
#include "files/gguf/metadata.h"

namespace pkv::gguf {

// A tensor as the file has it.
struct Info {
  std::string_view name;
  const GgmlType* type = nullptr;
  std::vector<std::int64_t> shape;  // rows first: [out, in], the reverse of the file's order
  std::uint64_t offset = 0;         // of its first byte, in the data
  std::uint64_t bytes = 0;
};

struct Header {
  static constexpr std::uint64_t kMaxTensors = 1 << 20, kMaxPairs = 1 << 16, kMaxKey = 1 << 16;
  static constexpr std::uint64_t kMaxText = std::uint64_t{1} << 26, kMaxArray = std::uint64_t{1} << 26;
  static constexpr std::uint64_t kMaxDimension = std::uint64_t{1} << 31, kMaxAlignment = 1 << 20;
  static constexpr std::uint32_t kMaxRank = 4, kDefaultAlignment = 32;

  std::uint32_t version = 0;
  std::vector<Pair> pairs;        // in the order of the file
  std::vector<Info> tensors;      // likewise
  std::uint64_t data_offset = 0;  // where the data begins; the file's size when there are no tensors
};

// `bytes` is the whole file; `file` is named in errors.
Header parse_header(std::span<const std::byte> bytes, const std::string& file);

class Container {
 public:
  static Container open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_->path(); }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  std::uint32_t version() const { return version_; }
  const Metadata& metadata() const { return metadata_; }
  std::span<const Info> tensors() const { return tensors_; }
  std::span<const std::byte> data_of(const Info& tensor) const { return data_.subspan(tensor.offset, tensor.bytes); }

 private:
  Container(std::shared_ptr<const MappedFile> file, Header header);

  std::shared_ptr<const MappedFile> file_;
  std::uint32_t version_;
  Metadata metadata_;
  std::vector<Info> tensors_;
  std::span<const std::byte> data_;
};

// Whether a file begins as GGUF files do.
bool is_gguf(std::string_view bytes);

}  // namespace pkv::gguf
