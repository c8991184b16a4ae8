// A file of named tensors, whatever its format: what safetensors files (safetensors.h) and PyTorch checkpoints
// (pytorch.h) give when they are opened. Tensors are Views into the mapped file. Knows nothing of what names mean.
//
// The mapping is of the file itself: a program that truncates it meanwhile makes a later read of its data a SIGBUS.
// Replace model files by renaming, as pkv's writers do; never write into them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "engine/quant/quant.h"
#include "engine/tensor/view.h"

namespace pkv::containers {

struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data = {};              // may be unaligned for its dtype
  std::shared_ptr<const MappedFile> file = nullptr;  // keeps `data` alive; empty for tensors that are to be written
  // `data` are blocks of this format (Scaling::inside) that hold `shape`'s elements; then `dtype` is u8, `view` of no
  // use.
  std::optional<quant::Format> format = std::nullopt;

  std::string_view type() const;  // "BF16", as safetensors calls it, or "Q4_K"
  bool aligned() const;           // `data` starts at a multiple of its element's size
  View view() const;              // error for a rank above View::kMaxRank
};

// A tensor of a dtype that the format has and pkv cannot read (8-bit floats and smaller, complex numbers). It can be
// listed; asking for it is an error, and does not hinder the others of its file.
struct Unreadable {
  std::string name;
  std::string_view dtype;  // as safetensors calls it: "F8_E4M3"
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  std::shared_ptr<const MappedFile> file = nullptr;
  std::string_view instead = {};  // what to try; empty: other dtypes
};
[[noreturn]] void fail_unreadable(const Unreadable& tensor);

// An entry that is no tensor, as a PyTorch checkpoint may hold beside them.
struct Other {
  std::string name;
  std::string_view kind;  // "a text", "an integer", "None"; of static storage
  std::string value;      // a text, or an integer, True or False as written; empty for others

  std::string describe() const;  // "'step', an integer: 7"
};

class TensorFile {
 public:
  // No two may have the same name. `notes`: what a reader of a report should know.
  TensorFile(std::filesystem::path path, std::vector<Tensor> tensors, std::vector<Unreadable> unreadable,
             std::vector<Other> others = {}, std::vector<std::string> notes = {});

  const std::filesystem::path& path() const { return path_; }
  std::span<const Tensor> tensors() const { return tensors_; }            // in the order of the file
  std::span<const Unreadable> unreadable() const { return unreadable_; }  // sorted by name
  std::span<const Other> others() const { return others_; }               // in the order of the file
  std::span<const std::string> notes() const { return notes_; }
  bool has(std::string_view name) const;            // readable or not
  const Tensor* find(std::string_view name) const;  // null when absent; error when unreadable
  const Tensor& get(std::string_view name) const;   // error that names file and tensor when absent

 private:
  std::filesystem::path path_;
  std::vector<Tensor> tensors_;
  std::vector<Unreadable> unreadable_;
  std::vector<Other> others_;
  std::vector<std::string> notes_;
  std::vector<std::size_t> by_name_;  // places in tensors_
};

// Load error for what a clone without Git LFS leaves in the place of a large file.
void refuse_lfs_pointer(std::string_view bytes, const std::filesystem::path& path);

}  // namespace pkv::containers
