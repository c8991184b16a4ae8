// A layer's past as a faulty implementation reads it (fault.h): a changed copy in memory of its own. The past itself
// stays as it is. Slow; for faults only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/model/faults/fault.h"

namespace pkv::model {

class MisreadPast {
 public:
  MisreadPast(kernels::Backend backend, std::int64_t kv_heads, std::int64_t head_dim)
      : backend_(std::move(backend)), heads_(kv_heads), dim_(head_dim) {}

  // Keys and values of `past` tokens changed as the fault says, then those of the call's `rows` tokens, then one empty
  // place of zeros; a hole lies between the first two. Valid as long as this is, until the next call.
  kernels::PastLayer layer(const kernels::PastLayer& right, const Fault& fault, std::int64_t past, std::int64_t rows);

 private:
  struct Token {
    std::vector<float> keys, values;  // [kv_heads, head_dim]
  };
  std::size_t part_bytes(DType dtype) const;
  kernels::PastLayer alone(DType dtype) const;
  std::vector<Token> read(const kernels::PastLayer& right, std::int64_t tokens) const;
  void write(const std::vector<Token>& tokens, const kernels::PastLayer& right);
  void change(std::vector<Token>& past, Fault::Content content) const;
  void shift_heads(Token& token) const;
  void transpose(std::vector<Token>& past) const;

  kernels::Backend backend_;
  std::int64_t heads_, dim_;
  kernels::Memory memory_;
  std::vector<std::byte*> blocks_;
};

}  // namespace pkv::model
