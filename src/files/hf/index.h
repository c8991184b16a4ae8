// model.safetensors.index.json, or pytorch_model.bin.index.json: which shard holds which tensor. Reads and checks the
// file by itself; whether the shards agree is for Folder to find out. Not part of the room's door.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::hf {

struct Index {
  static constexpr std::uint64_t kMaxFile = 64 << 20;

  struct Entry {
    std::string tensor;
    std::size_t shard;  // place in `shards`
  };
  std::vector<std::string> shards;  // plain file names with the extension; sorted
  std::vector<Entry> entries;       // sorted by tensor
  std::vector<std::string> unread;  // keys that nobody knows: "metadata.made_by"

  const Entry* find(std::string_view tensor) const;  // null when absent
};
// `extension`: that of the shards, with its point.
Index parse_index(std::string_view text, std::string_view file, std::string_view extension = ".safetensors");

}  // namespace pkv::hf
