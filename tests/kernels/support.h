// What the kernel tests share: the tables with every instruction set that the machine has, random tensors with guard
// bytes around them, strided views, pasts, and comparisons that say where and by how much.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/tensor/element.h"

namespace pkv::kernels {

// Calls body(ops) for the naive table and for the cpu table with each instruction set that this machine has. What is
// expected of all of them is computed once, outside: the definitions and these tests' bounds are slow.
void for_each_table(const std::function<void(const Ops&)>& body);

// The unit in the last place of fp32 arithmetic: half of the spacing of floats at 1.
constexpr double kUnit = 0x1.0p-24;

// A tensor of rank 2 to 4 (fp32, fp16 or bf16) in the middle of memory filled with a guard pattern. `row_stride` > 0
// pads dimension 0. The guard, the padding included, must still be there when `check` is called.
class Tensor {
 public:
  Tensor(DType dtype, std::vector<std::int64_t> shape, std::int64_t row_stride = 0, int misalign = 0);

  View view() const;
  double get(std::int64_t row, std::int64_t column) const;  // column counts through the inner dimensions
  std::vector<std::vector<double>> values() const;          // all, by row and column
  void set(std::int64_t row, std::int64_t column, float x);
  std::int64_t rows() const { return shape_[0]; }
  std::int64_t columns() const { return columns_; }
  Tensor& random(std::uint64_t seed, float scale = 1);
  Tensor& fill(float x);
  void check_guard() const;

 private:
  std::byte* at(std::int64_t row, std::int64_t column) const;

  DType dtype_;
  std::vector<std::int64_t> shape_;
  std::int64_t columns_ = 1, stride_ = 0;
  std::size_t first_ = 0;
  std::shared_ptr<std::vector<std::byte>> memory_;
};

Tensor ints(const std::vector<std::int32_t>& values);
std::string bits_of(const Tensor& t, std::int64_t row);  // a row's bytes: equal if and only if bit for bit equal

using Bounds = std::vector<std::vector<double>>;  // by row and column

// |got - want| <= bound(row, column) everywhere; NaN only where NaN is wanted.
void expect_near(const Tensor& got, const Tensor& want, const std::function<double(std::int64_t, std::int64_t)>& bound,
                 const std::string& what);
void expect_near(const Tensor& got, const Tensor& want, const Bounds& bounds, const std::string& what);

// Blocks of one layer's past for one sequence, NaN where nothing was written, between guards of NaN.
class Past {
 public:
  Past(std::int64_t kv_heads, std::int64_t dim, DType dtype, std::int64_t capacity);
  Past fork() const;
  PastLayer layer() const;
  // `rows` of a call from its row `first_row` on, after `past` tokens that this holds. Good until this is copied.
  Sequence sequence(std::int64_t first_row, std::int64_t rows, std::int64_t past);

 private:
  std::size_t bytes_, keys_, values_;
  std::int64_t dim_;
  DType dtype_;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<std::byte*> pointers_;
};

// A batch of these sequences, in memory of its own.
class Sequences {
 public:
  Sequences(const Ops& ops, Device& device, std::span<const Sequence> all)
      : memory_(batch_bytes(all)), batch_(ops.memory.begin(device, all, memory_.data())) {}
  Sequences(const Ops& ops, Device& device, const Sequence& one) : Sequences(ops, device, std::span(&one, 1)) {}
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;
  operator Batch() const { return batch_; }

 private:
  std::vector<std::byte> memory_;
  Batch batch_;
};

}  // namespace pkv::kernels
