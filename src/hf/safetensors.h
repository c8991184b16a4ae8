// One safetensors file: its header checked to the full rules of the format, its tensors as Views into the mapped file.
// Reading the header does not read the data. Also the writer, to the same rules.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
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
  std::span<const std::byte> data;           // may be unaligned for its dtype
  std::shared_ptr<const MappedFile> file;    // keeps `data` alive; empty for tensors that are to be written

  View view() const;  // error for a rank above View::kMaxRank
};

class SafeTensors {
 public:
  static constexpr std::uint64_t kMaxHeader = 100'000'000;

  static SafeTensors open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::span<const Tensor> tensors() const { return tensors_; }  // in the order of their data
  const Tensor* find(std::string_view name) const;              // null when absent
  const Tensor& get(std::string_view name) const;               // error that names file and tensor when absent
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::filesystem::path path_;
  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Checks a header (the bytes after the 8 byte length) against a data part of `data_size` bytes; the tensors' `data` is
// left empty but offsets are returned in order. Split from `open` so that it can be fuzzed without files.
struct Header {
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t begin, end;
  };
  std::vector<Entry> entries;  // sorted by `begin`
  std::map<std::string, std::string> metadata;
};
Header parse_header(std::string_view json, std::uint64_t data_size, std::string_view file);

// Written beside its place and renamed. Tensors are laid out in the order given, after the alignment-friendly sort by
// element size, descending, that the reference implementation uses; the header is padded so that data starts aligned to 8.
void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace pkv::hf
