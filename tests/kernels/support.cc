#include "support.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"
#include "engine/kernels/cpu/cpu.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "support/staged.h"

namespace pkv::kernels {
namespace {

constexpr std::size_t kGuard = 256;
constexpr std::byte kPattern{0xff};  // NaN in every floating-point format

}  // namespace

void for_each_table(const std::function<void(const Ops&)>& body) {
  for (const Ops* ops : tables()) {
    if (ops != &cpu::ops()) {
      SCOPED_TRACE(std::string(ops->name));
      body(ops->memory.of_host ? *ops : support::staged::ops(ops->name));
      continue;
    }
    for (const std::string& name : cpu::instruction_sets()) {
      cpu::choose_instruction_set(name, "");
      SCOPED_TRACE(ops->open(1)->describe());
      body(*ops);
    }
    cpu::choose_instruction_set("", "");
  }
}

Tensor::Tensor(DType dtype, std::vector<std::int64_t> shape, std::int64_t row_stride, int misalign)
    : dtype_(dtype), shape_(std::move(shape)) {
  for (std::size_t i = 1; i < shape_.size(); ++i) columns_ *= shape_[i];
  stride_ = row_stride == 0 ? columns_ : row_stride;
  // The memory ends where the last row ends when dense, so that the address sanitizer sees reads past it too.
  const std::size_t size = shape_[0] == 0 ? 0 : static_cast<std::size_t>((shape_[0] - 1) * stride_ + columns_);
  first_ = kGuard + static_cast<std::size_t>(misalign);
  memory_ = std::make_shared<std::vector<std::byte>>(first_ + size * size_of(dtype), kPattern);
}

std::byte* Tensor::at(std::int64_t row, std::int64_t column) const {
  return memory_->data() + first_ + static_cast<std::size_t>(row * stride_ + column) * size_of(dtype_);
}

View Tensor::view() const {
  View v(at(0, 0), dtype_, shape_);
  v.stride[0] = stride_;
  return v;
}

double Tensor::get(std::int64_t row, std::int64_t column) const { return load_element(at(row, column), dtype_, 0); }

std::vector<std::vector<double>> Tensor::values() const {
  std::vector<std::vector<double>> all(static_cast<std::size_t>(rows()));
  for (std::int64_t r = 0; r < rows(); ++r) {
    for (std::int64_t c = 0; c < columns_; ++c) all[static_cast<std::size_t>(r)].push_back(get(r, c));
  }
  return all;
}

void Tensor::set(std::int64_t row, std::int64_t column, float x) { store_element(at(row, column), dtype_, 0, x); }

Tensor& Tensor::random(std::uint64_t seed, float scale) {
  for (std::int64_t r = 0; r < rows(); ++r) {
    for (std::int64_t c = 0; c < columns_; ++c) {
      set(r, c, scale * random_signed(seed, static_cast<std::uint64_t>(r * columns_ + c)));
    }
  }
  return *this;
}

Tensor& Tensor::fill(float x) {
  for (std::int64_t r = 0; r < rows(); ++r) {
    for (std::int64_t c = 0; c < columns_; ++c) set(r, c, x);
  }
  return *this;
}

void Tensor::check_guard() const {
  std::size_t i = 0;
  const auto guard = [&](std::size_t end) {
    for (; i < end; ++i) ASSERT_EQ((*memory_)[i], kPattern) << "byte " << i << " outside of the tensor was written";
  };
  for (std::int64_t r = 0; r < rows(); ++r) {
    guard(static_cast<std::size_t>(at(r, 0) - memory_->data()));
    i += static_cast<std::size_t>(columns_) * size_of(dtype_);
  }
  guard(memory_->size());
}

Tensor ints(const std::vector<std::int32_t>& values) {
  Tensor t(DType::i32, {static_cast<std::int64_t>(values.size()), 1});
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::memcpy(t.view().as<std::byte>() + 4 * i, &values[i], 4);
  }
  return t;
}

std::string bits_of(const Tensor& t, std::int64_t row) {
  const View v = t.view();
  const auto* p = v.as<const char>() + static_cast<std::size_t>(row * v.step(0)) * size_of(v.dtype);
  return {p, static_cast<std::size_t>(t.columns()) * size_of(v.dtype)};
}

void expect_near(const Tensor& got, const Tensor& want, const std::function<double(std::int64_t, std::int64_t)>& bound,
                 const std::string& what) {
  for (std::int64_t r = 0; r < want.rows(); ++r) {
    for (std::int64_t c = 0; c < want.columns(); ++c) {
      const double g = got.get(r, c), w = want.get(r, c), b = bound(r, c);
      const bool good = std::isnan(w) ? std::isnan(g) : std::fabs(g - w) <= b || g == w;
      if (!good) {
        ADD_FAILURE() << what << ": row " << r << ", column " << c << ": expected " << w << ", got " << g << ", off by "
                      << std::fabs(g - w) << ", bound " << b;
        return;
      }
    }
  }
}

void expect_near(const Tensor& got, const Tensor& want, const Bounds& bounds, const std::string& what) {
  const auto bound = [&](std::int64_t r, std::int64_t c) {
    return bounds[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)];
  };
  expect_near(got, want, bound, what);
}

Past::Past(std::int64_t kv_heads, std::int64_t dim, DType dtype, std::int64_t capacity)
    : bytes_(static_cast<std::size_t>(kv_heads * dim * kBlockTokens) * size_of(dtype)),
      keys_(64),
      values_(keys_ + bytes_ + 64),
      dim_(dim),
      dtype_(dtype) {
  const std::int64_t blocks = (capacity + kBlockTokens - 1) / kBlockTokens;
  for (std::int64_t b = 0; b < blocks; ++b) blocks_.emplace_back(values_ + bytes_, kPattern);
}

Past Past::fork() const { return *this; }

PastLayer Past::layer() const { return {.keys = keys_, .values = values_, .head_dim = dim_, .dtype = dtype_}; }

Sequence Past::sequence(std::int64_t first_row, std::int64_t rows, std::int64_t past) {
  pointers_.clear();
  for (auto& b : blocks_) pointers_.push_back(b.data());
  return {.first_row = first_row, .rows = rows, .past = past, .blocks = pointers_.data()};
}

}  // namespace pkv::kernels
