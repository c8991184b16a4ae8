// Pass: one forward through a page for one or more sequences. Its verbs are what pages are written in; each is one or a
// few operations of the backend's table on buffers that stay between passes.
//
// There is one stream of hidden states x [rows, hidden]. A `half` is a residual step: inside it, `norm` gives the input
// of the branches (without one they read x itself), and each of `attend` and `mlp` adds its output to x at the half's
// end. Outside of a half, `norm` and `dense` replace x.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/fault.h"
#include "engine/model/formats.h"
#include "engine/model/misread.h"
#include "engine/model/past.h"

namespace pkv::model {

// The next tokens of one text, and the past they come after.
struct Feed {
  std::span<const std::int32_t> ids;
  Past* past = nullptr;

  // Something to go wrong, in a call that continues a past. `as_if_past` > 0, of a feed to an empty past: the tokens
  // from there on are computed as if they had been fed after the others. Without a fault that changes nothing.
  const Fault* fault = nullptr;
  std::int64_t as_if_past = 0;
};

enum class Want : std::uint8_t { all, last };  // the rows whose logits are computed, in each feed

// Hidden states copied out on the way, for tests and for finding the layer where two runs part.
struct Taps {
  std::vector<float> embedded;               // [rows, hidden] before the first layer
  std::vector<std::vector<float>> layers;    // [rows, hidden] after each layer
  std::vector<std::vector<float>> attended;  // [rows, heads, head_dim] what each head gives, in each layer
  std::vector<float> head;                   // [wanted rows, hidden] as the output matrix reads them
};

// Buffers that outlive a pass, so that a step allocates nothing once they are large enough.
class Workspace {
 public:
  enum Slot {
    hidden,
    next,
    normed,
    qkv,
    context,
    inner,
    cos,
    sin,
    ids,
    positions,
    wanted,
    picked,
    logits,
    scratch,
    kSlots
  };

  // [rows, columns] of any content; rows of several lie a whole number of cache lines apart, but those of `logits` end
  // to end. Replaces what the slot held: earlier Views of it are not to be used any more.
  View get(const kernels::Backend& backend, Slot slot, DType dtype, std::int64_t rows, std::int64_t columns);

 private:
  kernels::Memory memory_[kSlots];
};

class Pass {
 public:
  Pass(const kernels::Backend& backend, const Card& card, const Int8& int8, Workspace& workspace,
       std::span<const Feed> feeds, Want want, Taps* taps);

  // x = table[ids]; table [vocab, hidden].
  void embed(const View& table);
  // x += table[position]; table [positions, hidden].
  void add_positions(const View& table);
  // x += table[padding + number of tokens so far that are not padding]; a padding token itself has position `padding`.
  // table [padding + 1 + context, hidden].
  void add_positions_after_padding(const View& table, std::int32_t padding);
  // x += table[0]: every token is of type 0. table [types, hidden].
  void add_token_type(const View& table);
  // Rotary angles of every row, used by every `attend` with `rotary`.
  void rotary(double theta);

  template <class Body>
  void half(const Body& body) {
    begin_half();
    body();
    end_half();
  }
  void norm(const Norm& norm);
  void attend(const Attention& attention);
  void mlp(const Mlp& mlp);
  void end_layer();

  // From here on only the rows whose logits are wanted.
  void head();
  // x = act(x . weight^T + bias).
  void dense(const Projection& linear, kernels::Act act);
  // The last verb: logits = x . weight^T + bias.
  void logits(const View& weight, const View& bias = {});

  View result() const { return logits_; }  // [wanted rows, vocab] on the device

  // The pasts now hold what was fed. Called once, when everything has succeeded.
  void commit() noexcept;

 private:
  void begin_half();
  void end_half();
  void add_branch(const View& input, const Projection& linear);
  void multiply(const View& x, const Projection& linear, kernels::Linear call);
  void multiply_rows(kernels::Linear call, std::int64_t first, std::int64_t rows);
  void add_rows_of(const View& table, const View& indices);
  View upload(Workspace::Slot slot, std::span<const std::int32_t> values);
  View buffer(Workspace::Slot slot, std::int64_t columns);
  void tap(std::vector<float>& to, const View& x);

  // Rows of one feed that are computed with its fault, and the past that they continue.
  struct Affected {
    const Fault& fault;
    std::size_t feed;
    std::int64_t first_row, rows, past;  // the row in the whole call
  };
  void find_affected();
  std::vector<std::int32_t> positions() const;
  std::int64_t misplaced(const Affected& affected, std::int64_t row) const;
  void misplace(std::vector<std::int32_t>& positions, std::int32_t first) const;
  std::vector<std::int32_t> rotary_positions() const;
  void rotate(const View& q, const View& k, std::int64_t first, std::int64_t rows);
  void misrotate(const View& q, const View& k);
  void turn_rows(const Affected& affected, const View& x, bool interleaved);
  void attend_to_past(const kernels::Attend& call);
  std::vector<kernels::Sequence> right_rows() const;
  std::vector<kernels::Sequence> faulty_rows(const Affected& affected, bool causal,
                                             const kernels::PastLayer& layer) const;

  kernels::Backend backend_;
  const Card& card_;
  Int8 int8_;
  Workspace& workspace_;
  std::span<const Feed> feeds_;
  Want want_;
  Taps* taps_;

  std::int64_t rows_ = 0;
  std::vector<kernels::Sequence> sequences_;
  std::vector<Affected> affected_;
  View ids_, x_, sum_, input_, cos_, sin_, logits_;
  double theta_ = 0;
  std::int64_t layer_ = 0;
  bool in_half_ = false, first_branch_ = false;
};

}  // namespace pkv::model
