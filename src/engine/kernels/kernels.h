// The table of operations that a model is made of, for those who call or fill one: `naive` (plain loops, double
// accumulation: the definition and the judge), `cpu` (Highway, the instruction set chosen at run time) and `cuda-model`
// (what a GPU computes, to the bit, on the host: law/). Those who only hold a table and its memory include backend.h.
//
// Shapes are the caller's promise: operations are noexcept and check nothing. Views may be strided in dimension 0
// unless said otherwise; hidden states are fp32. How a table is added: docs/adding-a-backend.md.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "engine/kernels/act.h"
#include "engine/kernels/past_layer.h"
#include "engine/kernels/peak.h"
#include "engine/kernels/routing.h"
#include "engine/quant/quant.h"
#include "engine/tensor/view.h"

namespace pkv::kernels {

// What every table obeys.
//  - The row law: what an operation writes for a row depends, bit for bit, on that row's inputs alone, never on how
//    many rows or sequences share the call or on the number of threads (Linear::outliers_of_call excepted).
//  - A sum over K is cut into pieces and folded in an order that depends on K alone. Attention visits keys in blocks
//    of kBlockTokens from position 0 on and folds what a block gives in the order of blocks.
//  - What a masked key or an unfed place of a block holds, NaN included, changes nothing.
//  - `convert`, `encode` and `decode` give the same bits in every table: weights do not depend on the backend.
// What is each table's own: how many elements a piece of K has, how the lanes of a sum are folded, how exp and the
// activations are computed, whether a multiply-add rounds once or twice, the order of a packed matrix, scratch memory.
// So tables differ in the last bits, and a past that one has computed is refused by the others (numerics.h).

// A table's working state: its threads, or its stream on a device.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string describe() const = 0;  // "cpu (AVX2), 2 threads"
  // For who has asked for memory in vain: "1.5 GiB of the GPU's 139.8 GiB are free"; empty where nobody can tell.
  virtual std::string memory_left() const { return {}; }
};

// out[r] = scale * table[ids[r]] (+ out[r] when `add`). ids int32 [rows]; table [n, hidden] packed, fp32, fp16 or bf16;
// out [rows, hidden]. With `quantized` [n, hidden], packed, in its place: rows of its decoded values.
struct Embed {
  View ids, table{}, out;
  bool add = false;
  float scale = 1;
  quant::Matrix quantized{};

  auto operands() const { return std::array{&ids, &table, &out, &quantized.codes, &quantized.scales}; }
};

// Layer norm over each row: (x - mean) / sqrt(var + eps) * weight + bias; not `centred`: the mean is taken to be 0
// (root mean square norm). x, out [rows, width], or [rows, groups, width] of which each group is a row of its own; out
// may be x. weight, bias fp32 [width], or [groups, width] for groups with numbers of their own; either may be empty.
struct Norm {
  View x, weight{}, bias{}, out;
  float eps = 1e-5f;
  bool centred = true;

  auto operands() const { return std::array{&x, &weight, &bias, &out}; }
};

// out = add + act(clip(x . weight^T + bias)). x [rows, in]; weight [out, in] packed, fp32, fp16 or bf16, or `quantized`
// in its place, packed too; bias [out] fp32 or empty; add [rows, out] or empty, may be `out`; out [rows, out] fp32.
// `clip` > 0 limits the sums to [-clip, clip]. `places` int32 [out], each of 0 to out - 1 once, or empty: what row o of
// the weights gives stands at places[o], in out, bias and add (Ops::places_outputs).
//
// `as_ggml`: by matrices in ggml's formats rows of x are multiplied as quant::round_as_ggml gives them.
//
// The values of 4-bit matrices are code times scale in fp32, not rounded to `decoded`. By an int8 matrix, rows of x are
// multiplied as quant::Activations; `outliers_of_call` takes the outlier columns of all rows together, as bitsandbytes
// does: the one operation that breaks the row law, for those who want to see it broken.
struct Linear {
  View x, weight{}, bias{}, add{}, out;
  float clip = 0;
  Act act = Act::identity;
  View places{};
  quant::Matrix quantized{};
  View scratch{};  // Ops::linear_scratch() bytes when quantized, aligned to 64
  float outlier_threshold = 6;
  bool outliers_of_call = false;
  bool as_ggml = false;

  auto operands() const {
    return std::array{&x, &weight, &bias, &add, &out, &places, &quantized.codes, &quantized.scales, &scratch};
  }
};

// Whether `linear` of every table takes a matrix of this shape and format; if not, multiply by its decoded values.
bool can_multiply(const quant::Matrix& matrix);

// cos[r, i], sin[r, i] = factor * cos, sin of positions[r] * frequencies[i]. The product is exact, not rounded to fp32:
// a position means the same however far out it lies. positions int32 [rows]; frequencies [pairs] fp32.
struct Angles {
  View positions, frequencies, cos, sin;  // cos, sin [rows, pairs]
  float factor = 1;

  auto operands() const { return std::array{&positions, &frequencies, &cos, &sin}; }
};

// Rotates the first 2 * pairs elements of every head in place, pair (x[.., i], x[.., i + pairs]) by the angle i; of
// `neighbours` the pairs are (x[.., 2i], x[.., 2i + 1]). x [rows, groups, heads, dim], any strides but 1 in the last
// dimension; cos, sin [rows, pairs].
struct Rotate {
  View x, cos, sin;
  bool neighbours = false;

  auto operands() const { return std::array{&x, &cos, &sin}; }
};

// One sequence's share of a pass: its rows, and how many tokens its past held before. `blocks`: where each block of its
// past lies in the device's memory, as many as past + rows tokens need; null where no layer keeps keys and values. The
// next two are for faults made on purpose: rows do not see the keys before `first_key`, which must leave each row one,
// and keys before `alibi_from` get the ALiBi bias of that position. `state`: what its layers have kept of the tokens
// before its rows, all zeros where it is null; `next`: where that after its rows goes, which may be the same memory.
struct Sequence {
  std::int64_t first_row = 0, rows = 0, past = 0;
  std::byte* const* blocks = nullptr;
  std::int64_t first_key = 0, alibi_from = 0;
  const std::byte* state = nullptr;
  std::byte* next = nullptr;
};

// The sequences of a pass where operations read them: `begin` puts them there once, every layer uses them. The numbers
// are the host's, for sizing a launch; they are the same for all passes that share a recording (Key).
struct Batch {
  const Sequence* sequences = nullptr;  // [count]; they and their `blocks` in the device's memory
  std::int64_t count = 0, rows = 0;     // rows: of all sequences
  std::int64_t most_rows = 0;           // of one sequence
  std::int64_t most_blocks = 0;         // at least as many as any sequence has, and a power of two
};
std::size_t batch_bytes(std::span<const Sequence> sequences);  // what `begin` writes
// Writes a batch of batch_bytes() to `host`, in the form that it has at `memory` of the device: for tables' `begin`.
Batch write_batch(std::span<const Sequence> sequences, void* host, void* memory) noexcept;

// Writes the rows' keys and values into the past at positions past, past + 1, ... k, v [rows, kv_heads, head_dim].
struct Append {
  View k, v;
  Batch batch;
  PastLayer layer;

  auto operands() const { return std::array{&k, &v}; }
};

// Softmax attention of every row to the keys in its sequence's past (this call's own included, append comes first).
// q [rows, kv_heads, heads per kv head, head_dim]; out [rows, heads, head_dim], each row dense. A causal row sees the
// positions up to its own, of these the last `window` where there is one; otherwise all that the past holds after this
// call. Score of query i and key j of head h:
//   scale * factors[i] * (q . k) + alibi_scale * (bias(h, j) - bias(h, i)),  bias(h, j) = slopes[h] * j,
// where bias is rounded to bf16 first when `alibi_bf16`; with a `cap`, cap * tanh(score / cap) in its place. Keys are
// visited in the past's blocks, from the first that holds a key that is seen; blocks before it are not read. With
// `sinks`, sinks[h] is one more score that every row of head h sees, of a key whose value is 0; it comes last.
struct Attend {
  View q, out;
  View slopes{};   // [heads] fp32; empty: no bias
  View factors{};  // [rows] fp32; empty: all 1
  View sinks{};    // [heads] fp32; empty: none
  Batch batch;
  PastLayer layer;
  float scale = 1;
  float alibi_scale = 1;
  bool alibi_bf16 = false;
  bool causal = true;
  std::int64_t window = 0;  // of causal rows; 0: none
  float cap = 0;            // 0: none

  auto operands() const { return std::array{&q, &out, &slopes, &factors, &sinks}; }
};

constexpr std::int64_t kMostTaps = 16;   // of a convolution
constexpr std::int64_t kMostKeys = 256;  // rows of a recurrence's matrix

// A convolution of each channel by itself along the tokens of its sequence: of the last `taps` inputs x, row t's own
// the last of them, added up from the oldest on,
//   out[t, c] = act(sum over j of weight[j, c] * x[t - taps + 1 + j, c] + bias[c]).
// x, out [rows, channels] fp32, apart; weight fp32 [taps, channels]; bias fp32 [channels] or empty. The inputs of the
// taps - 1 tokens before the rows are read from byte `at` of the sequence's state, fp32 [taps - 1, channels], the
// oldest first; those after its rows are written there in its next one.
struct Convolve {
  View x, weight, bias{}, out;
  Act act = Act::identity;
  Batch batch;
  std::size_t at = 0;

  auto operands() const { return std::array{&x, &weight, &bias, &out}; }
};

// A recurrence along the tokens of a sequence with a matrix S [keys, values] for each head: the gated delta rule (Yang
// et al. 2024, arXiv:2412.06464) or, where `b` is empty, the scan of Mamba-2 (Dao and Gu 2024, arXiv:2405.21060). Each
// token, in order:
//   step = clamp(log(1 + e^(a + bias)), least, most)
//   S = e^(-rate * step) * S
//   u = sigmoid(b) * (v - k^T S)     without b: u = step * v
//   S = S + k u^T
//   out = q^T S + skip * v
// q, k [rows, key_heads, keys]; v, out [rows, heads, values]; a, b [rows, heads]; rate, bias, skip fp32 [heads], of
// which `skip` may be empty. All fp32, any strides but 1 in the last dimension; out apart from the others. Head h reads
// queries and keys of h / (heads / key_heads). S is fp32 [heads, keys, values] at byte `at` of a sequence's state, read
// from the one and written to the next; it is rounded to fp32 after each token, so that it does not matter where calls
// end. Sums over keys are in an order that depends on `keys` alone.
struct Recur {
  View q, k, v, a, b{}, rate, bias, skip{}, out;
  float least = 0, most = std::numeric_limits<float>::infinity();
  Batch batch;
  std::size_t at = 0;

  auto operands() const { return std::array{&q, &k, &v, &a, &b, &rate, &bias, &skip, &out}; }
};

// out = act(x) * up. x, up, out [rows, n] fp32, or [rows, groups, n]; out may be x or up; `up` may be empty: out =
// act(x). With `xielu`, fp32 [4]
// p, n, b, e, the function xielu (Huang et al. 2024, arXiv:2411.13010) stands in the place of `act`:
//   p x^2 + b x for x > 0, else n (e^min(x, e) - 1 - x) + b x.
// With a `limit`: act(min(x, limit)) * (1 + up), where up is limited to [-limit, limit]. Of `neighbours` x is [rows,
// 2n] and holds both: x[2i] and, as up, x[2i + 1]; `up` is empty.
struct Gate {
  View x, up{}, out;
  Act act = Act::silu;
  bool neighbours = false;
  float limit = 0;  // 0: none
  View xielu{};

  auto operands() const { return std::array{&x, &up, &out, &xielu}; }
};

// out = factor * x; with a `cap`, cap * tanh(factor * x / cap) in its place. x, out [rows, n] fp32; out may be x.
struct Scale {
  View x, out;
  float factor = 1;
  float cap = 0;  // 0: none

  auto operands() const { return std::array{&x, &out}; }
};

// out = add + scale * x. x, add, out [rows, columns] fp32; out may be x or add.
struct Add {
  View x, add, out;
  float scale = 1;

  auto operands() const { return std::array{&x, &add, &out}; }
};

// Which experts a row goes to, and with which weights (routing.h); and the pairs of row and expert in the order of
// experts, of one expert in that of rows. Within a row experts ascend, here and in Mix: that is the order of every sum
// over experts.
struct Route {
  View scores;   // fp32 [rows, experts]
  View bias{};   // fp32 [experts], or empty: added to values for choosing
  View weights;  // fp32 [rows, chosen]
  View places;   // int32 [rows, chosen]: which of the pairs it is
  View rows;     // int32 [rows * chosen]: of each pair
  View starts;   // int32 [experts + 1]: expert e's pairs are [starts[e], starts[e + 1])
  Routing how;

  auto operands() const { return std::array{&scores, &bias, &weights, &places, &rows, &starts}; }
};

// Linear by the matrix of each pair's expert: rows [starts[e], starts[e + 1]) of x by matrix e, as Linear alone would
// multiply them. The matrices have one shape and number format, each is packed by itself.
struct ExpertLinear {
  Linear pairs;    // matrix and format are those of expert 0; bias [experts, out] or empty; add is empty
  View starts;     // as Route gives them
  View addresses;  // int64 [experts, 2]: where the weight or the codes, and the scales, lie in the device's memory

  // The product of expert e's pairs, by starts and addresses that the host can read.
  Linear of(std::int64_t e) const;
  auto operands() const {
    return std::array{&pairs.x,
                      &pairs.weight,
                      &pairs.bias,
                      &pairs.out,
                      &pairs.scratch,
                      &pairs.quantized.codes,
                      &pairs.quantized.scales,
                      &starts,
                      &addresses};
  }
};

// out[r] = add[r] + the sum over i, one after the other, of weights[r, i] * x[places[r, i]]. x [any, n] fp32; weights
// fp32 and places int32 [rows, chosen]; without places x[r], and one of chosen; then x may
// be `out`. add [rows, n] or empty, may be `out`.
struct Mix {
  View x, weights, places{}, add{}, out;

  auto operands() const { return std::array{&x, &weights, &places, &add, &out}; }
};

// out[i] = x[rows[i]]. rows int32 [n]; x [any, hidden]; out [n, hidden].
struct Pick {
  View x, rows, out;

  auto operands() const { return std::array{&x, &rows, &out}; }
};

// to = from in to's number format (nearest, ties to even; too large for fp16: infinity), or from transposed. from
// [rows, columns] and to [rows, columns], transposed [columns, rows], of fp32, fp16 or bf16; elements of `from` may lie
// unaligned.
struct Convert {
  View from, to;
  bool transpose = false;

  auto operands() const { return std::array{&from, &to}; }
};

// to = the matrix `from` [out, in] (fp32, fp16 or bf16, dense, perhaps unaligned) in a quantised format.
struct Encode {
  View from;
  quant::Matrix to;

  auto operands() const { return std::array{&from, &to.codes, &to.scales}; }
};

// to [out, in] (fp32, fp16 or bf16, dense) = the decoded values of a quantised matrix.
struct Decode {
  quant::Matrix from;
  View to;

  auto operands() const { return std::array{&from.codes, &from.scales, &to}; }
};

// What a recording of operations is good for: the same buffers, shapes and numbers of a Batch. What may differ between
// two passes of one key lies in the device's memory: ids, positions, sequences, blocks.
struct Key {
  std::uint64_t buffers = 0;  // a number that no other set of buffers has had
  std::array<std::int64_t, 5> shape{};

  auto operator<=>(const Key&) const = default;
};

// How a table keeps memory and works through what it is asked for. Operations are asynchronous in principle: they begin
// in the order in which they were asked for, and what they write may be read after `download` or `wait`. What fails
// says so in the next `wait`. Tables in the host's memory share host::kMemory, which does all at once and never fails.
struct MemoryOps {
  bool of_host = false;  // operations read the host's memory as it lies

  // Aligned to 64 bytes; null when there is none left. Memory may be released while operations that use it have been
  // asked for and are not done.
  void* (*allocate)(Device&, std::size_t bytes) noexcept;
  void (*release)(Device&, void* memory) noexcept;
  // Makes a view that operations can read of one of the host's memory: the same where that will do (it must then
  // outlive its use), else a copy. Gives the memory of the copy, to be released, null where there is none. No memory
  // left: a view without data. So for `pack` and `pack_quantized`.
  void* (*place)(Device&, View& host) noexcept;
  // Puts a matrix that lies in the device's memory into the order in which `linear` and `embed` read it, where that is
  // another. A packed matrix keeps its shape; its rows and strides are nothing that anyone else could use.
  void* (*pack)(Device&, View& matrix) noexcept;
  void* (*pack_quantized)(Device&, quant::Matrix& matrix) noexcept;

  // `upload` and `place` have read the host's memory when they return. `download` waits for what comes before.
  void (*upload)(Device&, void* to, const void* from_host, std::size_t bytes) noexcept;
  void (*copy)(Device&, void* to, const void* from, std::size_t bytes) noexcept;
  void (*download)(Device&, void* to_host, const void* from, std::size_t bytes) noexcept;
  // Returns when all that was asked for is done: empty, or what has failed since the last `wait`, each failure once.
  std::string (*wait)(Device&);

  // Once a pass: the sequences into `memory` of batch_bytes(), which must stay until the pass's operations are done.
  Batch (*begin)(Device&, std::span<const Sequence> sequences, void* memory) noexcept;
  // Calls `body`, which asks for operations only: no memory, upload, download, `begin` or `wait`. A table may record
  // what it asks for when it sees a key again (the first call may still make buffers grow), and from then on replay
  // that without calling it. Throws what `body` throws.
  void (*run)(Device&, const Key& key, const std::function<void()>& body);

  // Error::load when there is no memory for it.
  std::unique_ptr<Peak> (*peak)(Device&, Clock clock);
};

// A table. Every entry is there in every table.
struct Ops {
  std::string_view name;
  bool places_outputs = false;  // `linear` knows Linear::places; else rows of weights are put in order when loaded
  bool rounds_as_ggml = false;  // and Linear::as_ggml

  // `threads` 0: as many as there are physical cores.
  std::unique_ptr<Device> (*open)(int threads);
  MemoryOps memory;

  std::size_t (*linear_scratch)(const quant::Matrix& matrix, std::int64_t rows) noexcept;  // bytes

  void (*embed)(Device&, const Embed&) noexcept;
  void (*norm)(Device&, const Norm&) noexcept;
  void (*linear)(Device&, const Linear&) noexcept;
  void (*angles)(Device&, const Angles&) noexcept;
  void (*rotate)(Device&, const Rotate&) noexcept;
  void (*append)(Device&, const Append&) noexcept;
  void (*attend)(Device&, const Attend&) noexcept;
  void (*convolve)(Device&, const Convolve&) noexcept;
  void (*recur)(Device&, const Recur&) noexcept;
  void (*gate)(Device&, const Gate&) noexcept;
  void (*scale)(Device&, const Scale&) noexcept;
  void (*add)(Device&, const Add&) noexcept;
  void (*route)(Device&, const Route&) noexcept;
  void (*expert_linear)(Device&, const ExpertLinear&) noexcept;
  void (*mix)(Device&, const Mix&) noexcept;
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
