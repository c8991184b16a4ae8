#include "hf/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "hf/json.h"

namespace pkv::hf {
namespace {

constexpr std::size_t kLengthBytes = 8;

std::string tensor_place(const std::shared_ptr<const MappedFile>& file, std::string_view name) {
  if (!file) return fmt::format("tensor {}", quote(name));
  return fmt::format("{}: tensor {}", file->path().string(), quote(name));
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t n = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) n = n << 8 | static_cast<std::uint64_t>(bytes[i]);
  return n;
}

// The header's length, checked against the format's limit and the file.
std::uint64_t header_length(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  if (text_of(bytes).starts_with("version https://git-lfs")) {
    fail_load({.what = "is a Git LFS pointer, not the file itself",
               .where = path.string(),
               .hint = "run `git lfs pull` in the folder, or download the model again"});
  }
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

std::string_view name_of(const Unreadable& tensor) { return tensor.name; }

}  // namespace

bool Tensor::aligned() const { return reinterpret_cast<std::uintptr_t>(data.data()) % size_of(dtype) == 0; }

View Tensor::view() const {
  if (shape.size() > View::kMaxRank) {
    fail_load({.what = "rank is too high for a view",
               .where = tensor_place(file, name),
               .expected = fmt::format("at most {} dimensions", View::kMaxRank),
               .found = shape_text(shape)});
  }
  // An empty tensor may have other dimensions of any size; its strides must still be numbers.
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (__builtin_mul_overflow(stride, shape[i], &stride)) {
      fail_load({.what = "shape overflows", .where = tensor_place(file, name), .found = shape_text(shape)});
    }
  }
  return View(data.data(), dtype, shape);
}

void fail_unreadable(const Unreadable& tensor) {
  fail_load({.what = "dtype is not supported by pkv",
             .where = tensor_place(tensor.file, tensor.name),
             .expected = "F32, F16, BF16, F64, an integer type or BOOL",
             .found = std::string(tensor.dtype),
             .hint = "convert the weights to bf16, fp16 or fp32"});
}

SafeTensors SafeTensors::open(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  const std::span<const std::byte> bytes = file->bytes();
  const std::uint64_t length = header_length(bytes, path);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);
  Header header = parse_header(text_of(bytes.subspan(kLengthBytes, length)), data.size(), path.string());

  SafeTensors opened;
  opened.path_ = path;
  opened.metadata_ = std::move(header.metadata);
  for (Header::Entry& e : header.entries) {
    if (e.readable) {
      opened.tensors_.push_back(
          {std::move(e.name), *e.readable, std::move(e.shape), data.subspan(e.begin, e.end - e.begin), file});
    } else {
      opened.unreadable_.push_back({std::move(e.name), e.dtype, std::move(e.shape), e.end - e.begin, file});
    }
  }
  std::ranges::sort(opened.unreadable_, {}, &Unreadable::name);
  opened.by_name_.resize(opened.tensors_.size());
  std::iota(opened.by_name_.begin(), opened.by_name_.end(), std::size_t{0});
  std::ranges::sort(opened.by_name_, {}, [&](std::size_t i) -> const std::string& { return opened.tensors_[i].name; });
  return opened;
}

const Tensor* SafeTensors::find(std::string_view name) const {
  const auto name_at = [&](std::size_t i) -> std::string_view { return tensors_[i].name; };
  const auto at = std::ranges::lower_bound(by_name_, name, {}, name_at);
  if (at != by_name_.end() && name_at(*at) == name) return &tensors_[*at];
  const auto other = std::ranges::lower_bound(unreadable_, name, {}, name_of);
  if (other != unreadable_.end() && other->name == name) fail_unreadable(*other);
  return nullptr;
}

bool SafeTensors::has(std::string_view name) const {
  return std::ranges::binary_search(unreadable_, name, {}, name_of) || find(name) != nullptr;
}

const Tensor& SafeTensors::get(std::string_view name) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) {
    fail_load({.what = "tensor is missing", .where = fmt::format("{}: tensor {}", path_.string(), quote(name))});
  }
  return *tensor;
}

}  // namespace pkv::hf
