#include "files/containers/safetensors.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/error.h"

namespace pkv::containers {
namespace {

constexpr std::size_t kLengthBytes = 8;

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t n = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) n = n << 8 | static_cast<std::uint64_t>(bytes[i]);
  return n;
}

// The header's length, checked against the format's limit and the file.
std::uint64_t header_length(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  refuse_lfs_pointer(text_of(bytes), path);
  if (bytes.size() < kLengthBytes) {
    fail_load({.what = "is too short for a safetensors file",
               .where = path.string(),
               .expected = fmt::format("at least {} bytes", kLengthBytes),
               .found = fmt::format("{} bytes", bytes.size())});
  }
  const std::uint64_t n = little_endian(bytes);
  if (n > SafeTensors::kMaxHeader) {
    fail_load({.what = "header is too large",
               .where = path.string(),
               .expected = fmt::format("at most {} bytes", SafeTensors::kMaxHeader),
               .found = fmt::format("{} bytes", n),
               .hint = "this is not a safetensors file, or it is damaged"});
  }
  if (n > bytes.size() - kLengthBytes) {
    fail_load({.what = "file ends within its header",
               .where = path.string(),
               .expected = fmt::format("a header of {} bytes", n),
               .found = fmt::format("{} bytes", bytes.size() - kLengthBytes),
               .hint = "the file is truncated: download or copy it again"});
  }
  return n;
}

}  // namespace

SafeTensors SafeTensors::open(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  const std::span<const std::byte> bytes = file->bytes();
  const std::uint64_t length = header_length(bytes, path);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);
  Header header = parse_header(text_of(bytes.subspan(kLengthBytes, length)), data.size(), path.string());

  std::vector<Tensor> tensors;
  std::vector<Unreadable> unreadable;
  for (Header::Entry& e : header.entries) {
    if (e.readable) {
      tensors.push_back(
          {std::move(e.name), *e.readable, std::move(e.shape), data.subspan(e.begin, e.end - e.begin), file});
    } else {
      unreadable.push_back({std::move(e.name), e.dtype, std::move(e.shape), e.end - e.begin, file});
    }
  }
  return {TensorFile(path, std::move(tensors), std::move(unreadable)), std::move(header.metadata)};
}

}  // namespace pkv::containers
