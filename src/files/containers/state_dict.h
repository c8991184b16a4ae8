// A PyTorch state dict in its pickled form (data.pkl of a checkpoint): names, and for each tensor which part of which
// storage it is. Knows what PyTorch's few functions in it mean and calls none. Used by the PyTorch reader; not part of
// the room's door.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/dtype.h"
#include "files/containers/tensor_file.h"

namespace pkv::containers {

struct StateDict {
  static constexpr std::size_t kMaxRank = 16;

  struct Entry {
    std::string name;
    std::string_view dtype;                   // as safetensors calls it, of static storage
    std::optional<DType> readable;            // none for a dtype that pkv cannot read
    std::uint64_t element_size = 0;           // bytes
    std::vector<std::int64_t> shape, stride;  // strides count elements and are not negative
    std::uint64_t offset = 0;                 // elements from the start of the storage
    std::string_view storage;                 // its name, a plain file name; in the pickle
    std::uint64_t storage_bytes = 0;

    bool dense() const;  // row-major without gaps
  };
  std::vector<Entry> entries;      // in the order of the file, names unique and UTF-8; each within its storage
  std::vector<Other> others;       // entries that are no tensors
  std::vector<std::string> notes;  // what else the pickle says, and is not used: attributes of tensors and of the dict
};

// `pickle` must outlive the result. `file` is only named in errors, which are load errors.
StateDict parse_state_dict(std::string_view pickle, std::string_view file);

}  // namespace pkv::containers
