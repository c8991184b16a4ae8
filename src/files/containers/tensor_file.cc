#include "files/containers/tensor_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace pkv::containers {
namespace {

std::string tensor_place(const std::shared_ptr<const MappedFile>& file, std::string_view name) {
  if (!file) return fmt::format("tensor {}", quote(name));
  return fmt::format("{}: tensor {}", file->path().string(), quote(name));
}

}  // namespace

std::string_view Tensor::type() const { return format ? quant::name_of(*format) : safetensors_name(dtype); }

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
  fail_load(
      {.what = "dtype is not supported by pkv",
       .where = tensor_place(tensor.file, tensor.name),
       .expected = "F32, F16, BF16, F64, an integer type or BOOL",
       .found = std::string(tensor.dtype),
       .hint = std::string(tensor.instead.empty() ? "convert the weights to bf16, fp16 or fp32" : tensor.instead)});
}

std::string Other::describe() const {
  constexpr std::size_t kShown = 40;
  return fmt::format("{}, {}{}", quote(name), kind, value.empty() ? "" : ": " + quote(value, kShown));
}

TensorFile::TensorFile(std::filesystem::path path, std::vector<Tensor> tensors, std::vector<Unreadable> unreadable,
                       std::vector<Other> others, std::vector<std::string> notes)
    : path_(std::move(path)),
      tensors_(std::move(tensors)),
      unreadable_(std::move(unreadable)),
      others_(std::move(others)),
      notes_(std::move(notes)),
      by_name_(tensors_.size()) {
  std::ranges::sort(unreadable_, {}, &Unreadable::name);
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::ranges::sort(by_name_, {}, [&](std::size_t i) -> const std::string& { return tensors_[i].name; });
}

const Tensor* TensorFile::find(std::string_view name) const {
  const auto name_at = [&](std::size_t i) -> std::string_view { return tensors_[i].name; };
  const auto at = std::ranges::lower_bound(by_name_, name, {}, name_at);
  if (at != by_name_.end() && name_at(*at) == name) return &tensors_[*at];
  const auto other = std::ranges::lower_bound(unreadable_, name, {}, &Unreadable::name);
  if (other != unreadable_.end() && other->name == name) fail_unreadable(*other);
  return nullptr;
}

bool TensorFile::has(std::string_view name) const {
  return std::ranges::binary_search(unreadable_, name, {}, &Unreadable::name) || find(name) != nullptr;
}

const Tensor& TensorFile::get(std::string_view name) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) {
    fail_load({.what = "tensor is missing", .where = fmt::format("{}: tensor {}", path_.string(), quote(name))});
  }
  return *tensor;
}

void refuse_lfs_pointer(std::string_view bytes, const std::filesystem::path& path) {
  if (!bytes.starts_with("version https://git-lfs")) return;
  fail_load({.what = "is a Git LFS pointer, not the file itself",
             .where = path.string(),
             .hint = "run `git lfs pull` in the folder, or download the model again"});
}

}  // namespace pkv::containers
