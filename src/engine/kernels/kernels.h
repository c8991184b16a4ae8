// The door of room kernels: the table of operations that a model is made of, and the tables that fill it: `naive`
// (plain loops, double accumulation: the definition and the judge) and `cpu` (Highway, the instruction set chosen at
// run time).
//
// Every table obeys the row law: what an operation writes for a row depends, bit for bit, on that row's inputs alone,
// never on how many rows share the call or on the number of threads. Shapes are the caller's promise: operations are
// noexcept and check nothing. Views may be strided in dimension 0 unless said otherwise; hidden states are fp32.
// Operations are asynchronous in principle: results may be read after `download`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/quant/quant.h"
#include "engine/tensor/view.h"

namespace pkv::kernels {

// A table's working state: its threads, or its stream on a device.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string describe() const = 0;  // "cpu (AVX2), 2 threads"
};

// Elementwise functions: all of transformers' ACT2FN but those with learned parameters (prelu, xielu).
enum class Act : std::uint8_t {
  identity,
  relu,
  relu2,       // relu(x)^2
  relu6,       // min(relu(x), 6)
  leaky_relu,  // slope 0.01
  gelu,        // x * Phi(x), by erf
  gelu_tanh,   // the tanh approximation: gelu_new, gelu_pytorch_tanh, gelu_fast, gelu_accurate
  quick_gelu,  // x * sigmoid(1.702 x)
  silu,        // x * sigmoid(x)
  sigmoid,
  tanh,
  mish,          // x * tanh(softplus(x))
  hardswish,     // x * relu6(x + 3) / 6
  gelu_10,       // gelu limited to [-10, 10]
  laplace,       // (1 + erf((x - 0.707107) / (0.282095 sqrt(2)))) / 2
  sqrtsoftplus,  // sqrt(softplus(x))
};
std::optional<Act> act_from_name(std::string_view transformers_name);
std::string_view name_of(Act act);  // the first of transformers' names: "gelu_new"
double apply(Act act, double x);    // the definition

// out[r] = table[ids[r]] (+ out[r] when `add`). ids int32 [rows]; table [n, hidden] fp32, fp16 or bf16; out [rows,
// hidden].
struct Embed {
  View ids, table, out;
  bool add = false;
};

// Layer norm over each row: (x - mean) / sqrt(var + eps) * weight + bias. weight, bias [hidden] fp32; bias may be
// empty.
struct Norm {
  View x, weight, bias{}, out;  // x, out [rows, hidden]; out may be x
  float eps = 1e-5f;
};

// out = add + act(clip(x . weight^T + bias)). x [rows, in]; weight [out, in] dense, fp32, fp16 or bf16, or `quantized`
// in its place; bias [out] fp32 or empty; add [rows, out] or empty, may be `out`; out [rows, out] fp32. `clip` > 0
// limits the sums to [-clip, clip].
//
// The values of 4-bit matrices are code times scale in fp32, not rounded to `decoded`. By an int8 matrix, rows of x are
// multiplied as quant::Activations; `outliers_of_call` takes the outlier columns of all rows together, as bitsandbytes
// does: the one operation that breaks the row law, for those who want to see it broken.
struct Linear {
  View x, weight{}, bias{}, add{}, out;
  float clip = 0;
  Act act = Act::identity;
  quant::Matrix quantized{};
  View scratch{};  // linear_scratch() bytes when quantized, aligned to 64
  float outlier_threshold = 6;
  bool outliers_of_call = false;
};
std::size_t linear_scratch(const quant::Matrix& matrix, std::int64_t rows);

// Whether `linear` can take a matrix of this shape and format; if not, multiply by its decoded values.
bool can_multiply(const quant::Matrix& matrix);

// cos[r, i], sin[r, i] of positions[r] * theta^(-2i/dim), for i in [0, dim/2). positions int32 [rows].
struct Angles {
  View positions, cos, sin;  // [rows], [rows, dim/2], [rows, dim/2]
  double theta = 10000;
};

// Rotates the pairs (x[.., i], x[.., i + dim/2]) of every head in place. x [rows, groups, heads, dim], any strides but
// 1 in the last dimension.
struct Rotate {
  View x, cos, sin;
};

// Tokens in a block of the past. Attention visits keys block by block, so the bits of the logits depend on it: a
// constant of the numerics, not a setting.
constexpr std::int64_t kBlockTokens = 64;

// Where one layer of one sequence's past lies. Block b holds tokens [b*kBlockTokens, (b+1)*kBlockTokens). Inside a
// block, at byte `keys`, the layer's keys as [kv_heads, head_dim, kBlockTokens], and at byte `values` its values as
// [kv_heads, kBlockTokens, head_dim]; elements of `dtype` (fp32, fp16, bf16).
struct PastLayer {
  std::byte* const* blocks = nullptr;
  std::size_t keys = 0, values = 0;
  std::int64_t head_dim = 0;
  DType dtype = DType::f32;

  // Bytes from the start of a token's block to the first element of its key (value) in a kv head. The elements of a
  // key lie kBlockTokens apart, those of a value end to end.
  std::size_t key(std::int64_t head, std::int64_t token) const {
    return keys + static_cast<std::size_t>(head * head_dim * kBlockTokens + token % kBlockTokens) * size_of(dtype);
  }
  std::size_t value(std::int64_t head, std::int64_t token) const {
    return values + static_cast<std::size_t>((head * kBlockTokens + token % kBlockTokens) * head_dim) * size_of(dtype);
  }
};

// One sequence's share of a call: its rows, and how many tokens its past held before the call. The last two are for
// faults made on purpose: rows do not see the keys before `first_key`, which must leave each row one, and keys before
// `alibi_from` get the ALiBi bias of that position.
struct Sequence {
  std::int64_t first_row = 0, rows = 0, past = 0;
  PastLayer layer;
  std::int64_t first_key = 0, alibi_from = 0;
};

// Writes the rows' keys and values into the past at positions past, past + 1, ... k, v [rows, kv_heads, head_dim].
struct Append {
  View k, v;
  std::span<const Sequence> sequences;
};

// Softmax attention of every row to the keys in its sequence's past (this call's own included, append comes first).
// q [rows, kv_heads, heads per kv head, head_dim]; out [rows, heads, head_dim], each row dense. A causal row sees the
// positions up to its own; otherwise all that the past holds after this call. Score of query i and key j of head h:
//   scale * (q . k) + alibi_scale * (bias(h, j) - bias(h, i)),  bias(h, j) = slopes[h] * j,
// where bias is rounded to bf16 first when `alibi_bf16`. Keys are visited in the past's blocks, from position 0 on.
struct Attend {
  View q, out;
  View slopes{};  // [heads] fp32, host memory of the table; empty: no bias
  std::span<const Sequence> sequences;
  float scale = 1;
  float alibi_scale = 1;
  bool alibi_bf16 = false;
  bool causal = true;
};

// out[i] = x[rows[i]]. rows int32 [n]; x [any, hidden]; out [n, hidden].
struct Pick {
  View x, rows, out;
};

// to = from in to's number format (nearest, ties to even; too large for fp16: infinity), or from transposed. from
// [rows, columns] and to [rows, columns], transposed [columns, rows], of fp32, fp16 or bf16; elements of `from` may lie
// unaligned.
struct Convert {
  View from, to;
  bool transpose = false;
};

// to = the matrix `from` [out, in] (fp32, fp16 or bf16, dense, perhaps unaligned) in a quantised format.
struct Encode {
  View from;
  quant::Matrix to;
};

// to [out, in] (fp32, fp16 or bf16, dense) = the decoded values of a quantised matrix.
struct Decode {
  quant::Matrix from;
  View to;
};

struct Ops {
  std::string_view name;

  // `threads` 0: as many as there are physical cores.
  std::unique_ptr<Device> (*open)(int threads);

  // Memory. `place` gives a view that operations can read: the same memory where host memory will do (it must then
  // outlive its use), otherwise a copy. Allocations are aligned to 64 bytes; null when there is no memory left.
  void* (*allocate)(Device&, std::size_t bytes) noexcept;
  void (*release)(Device&, void* memory) noexcept;
  View (*place)(Device&, const View& host);
  void (*upload)(Device&, void* to, const void* from_host, std::size_t bytes) noexcept;
  void (*copy)(Device&, void* to, const void* from, std::size_t bytes) noexcept;
  void (*download)(Device&, void* to_host, const void* from,
                   std::size_t bytes) noexcept;  // waits for what comes before

  void (*embed)(Device&, const Embed&) noexcept;
  void (*norm)(Device&, const Norm&) noexcept;
  void (*linear)(Device&, const Linear&) noexcept;
  void (*angles)(Device&, const Angles&) noexcept;
  void (*rotate)(Device&, const Rotate&) noexcept;
  void (*append)(Device&, const Append&) noexcept;
  void (*attend)(Device&, const Attend&) noexcept;
  void (*pick)(Device&, const Pick&) noexcept;
  void (*convert)(Device&, const Convert&) noexcept;
  void (*encode)(Device&, const Encode&) noexcept;
  void (*decode)(Device&, const Decode&) noexcept;
};

// The tables that this machine can run, `naive` first.
std::span<const Ops* const> tables();

// Error::usage that lists the names when there is none of this name.
const Ops& table(std::string_view name);

}  // namespace pkv::kernels
