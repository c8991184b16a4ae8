// GGUF files made by hand, right or wrong: what tests of readers feed.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::support {

template <class T>
std::string little_endian(T x) {
  std::string bytes(sizeof x, '\0');
  std::memcpy(bytes.data(), &x, sizeof x);
  return bytes;
}

inline std::string gguf_text(std::string_view text) {
  return little_endian<std::uint64_t>(text.size()) + std::string(text);
}

// Keys and tensors in the order given; `bytes()` lays the data out as writers do, each tensor behind the one before.
class GgufBytes {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;

  // Types by number: 4 u32, 5 i32, 6 f32, 7 flag, 8 text, 9 array.
  void pair(std::string_view key, std::uint32_t type, std::string_view value) {
    pairs_ += gguf_text(key) + little_endian(type) + std::string(value);
    ++pair_count_;
  }
  void number(std::string_view key, std::uint32_t x) { pair(key, 4, little_endian(x)); }
  void number(std::string_view key, float x) { pair(key, 6, little_endian(x)); }
  void flag(std::string_view key, bool x) { pair(key, 7, x ? std::string("\1", 1) : std::string("\0", 1)); }
  void text(std::string_view key, std::string_view x) { pair(key, 8, gguf_text(x)); }
  void texts(std::string_view key, const std::vector<std::string>& all) {
    std::string bytes = array_head(8, all.size());
    for (const std::string& one : all) bytes += gguf_text(one);
    pair(key, 9, bytes);
  }
  template <class T>
  void numbers(std::string_view key, std::uint32_t type, const std::vector<T>& all) {
    std::string bytes = array_head(type, all.size());
    for (const T one : all) bytes += little_endian(one);
    pair(key, 9, bytes);
  }

  // `dimensions` as in the file: columns first.
  void tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& dimensions,
              std::string_view data) {
    tensor_at(name, type, dimensions, data_.size());
    data_ += data;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
  }
  void tensor_at(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& dimensions,
                 std::uint64_t offset) {
    tensors_ += gguf_text(name) + little_endian(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t n : dimensions) tensors_ += little_endian(n);
    tensors_ += little_endian(type) + little_endian(offset);
    ++tensor_count_;
  }

  std::string bytes() const {
    std::string all = "GGUF" + little_endian(version) + little_endian(tensor_count_) + little_endian(pair_count_);
    all += pairs_ + tensors_;
    if (tensor_count_ != 0) all.resize((all.size() + alignment - 1) / alignment * alignment);
    return all + data_;
  }

 private:
  static std::string array_head(std::uint32_t type, std::uint64_t count) {
    return little_endian(type) + little_endian(count);
  }

  std::string pairs_, tensors_, data_;
  std::uint64_t pair_count_ = 0, tensor_count_ = 0;
};

}  // namespace pkv::support
