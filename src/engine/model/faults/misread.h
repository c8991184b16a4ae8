// A layer's past as a faulty implementation reads it (fault.h): a changed copy in memory of its own. The past itself
// stays as it is. Slow; for faults only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/kernels/past_layer.h"
#include "engine/model/faults/fault.h"

namespace pkv::model {

class MisreadPast {
 public:
  MisreadPast(kernels::Backend backend, std::int64_t kv_heads, std::int64_t head_dim)
      : backend_(std::move(backend)), heads_(kv_heads), dim_(head_dim) {}

  // Reads a layer's past that lies in `blocks`. Its copy has the keys and values of `past` tokens changed as the fault
  // says, then those of the call's `rows` tokens, then one empty place of zeros; a hole lies between the first two.
  void copy(std::byte* const* blocks, const kernels::PastLayer& layer, const Fault& fault, std::int64_t past,
            std::int64_t rows);
  // Where the copy lies, until the next one is made.
  std::byte* const* blocks() const { return blocks_.data(); }
  const kernels::PastLayer& layer() const { return layer_; }

 private:
  struct Token {
    std::vector<float> keys, values;  // [kv_heads, head_dim]
  };
  std::size_t part_bytes() const;
  std::vector<Token> read(std::byte* const* blocks, const kernels::PastLayer& layer, std::int64_t tokens) const;
  void write(const std::vector<Token>& tokens);
  void change(std::vector<Token>& past, Fault::Content content) const;
  void shift_heads(Token& token) const;
  void transpose(std::vector<Token>& past) const;

  kernels::Backend backend_;
  std::int64_t heads_, dim_;
  kernels::PastLayer layer_;
  kernels::Memory memory_;
  std::vector<std::byte*> blocks_;
};

}  // namespace pkv::model
