// Pass: one forward through a page for one or more sequences. Its verbs are what pages are written in; each is one or a
// few operations of the backend's table on buffers that stay between passes.
//
// There is one stream of hidden states x [rows, hidden]. Verbs that compute give what they computed; `add` and
// `replace` alone change x:  p.add(p.attend(p.norm(l.ln_1), l.attn));
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/feed.h"
#include "engine/model/formats.h"
#include "engine/model/past.h"

namespace pkv::model {

class Deviation;

// Buffers that outlive a pass, so that a step allocates nothing once they are large enough.
class Workspace {
 public:
  enum Slot { hidden, normed, qkv, context, inner, cos, sin, ids, positions, wanted, picked, logits, scratch, kSlots };

  // [rows, columns] of any content; rows of several lie a whole number of cache lines apart, but those of `logits` end
  // to end. Replaces what the slot held: earlier Views of it are not to be used any more.
  View get(const kernels::Backend& backend, Slot slot, DType dtype, std::int64_t rows, std::int64_t columns);

 private:
  kernels::Memory memory_[kSlots];
};

// What a branch gives, to be added to the hidden states: `states` times `last`, a product that is done together with
// the sum.
struct Branch {
  View states;  // [rows, in of `last`]
  const Projection* last;
};

// Views and branches that a verb gives are good until the verb is used again.
class Pass {
 public:
  // `deviation`: what is to be computed wrongly; null: nothing.
  Pass(const kernels::Backend& backend, const Card& card, const Int8& int8, Workspace& workspace,
       std::span<const Feed> feeds, Want want, Taps* taps, const Deviation* deviation = nullptr);

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

  View hidden() const { return x_; }  // x
  View norm(const Norm& norm);        // of x [rows, hidden]
  Branch attend(const View& input, const Attention& attention);
  Branch mlp(const View& input, const Mlp& mlp);
  void add(const Branch& branch);    // x += what the branch gives
  void replace(const View& states);  // x = states, given by `norm` or `dense`
  void end_layer();

  // From here on only the rows whose logits are wanted.
  void head();
  // act(x . weight^T + bias) [rows, hidden].
  View dense(const Projection& projection, kernels::Act act);
  // The last verb: logits = input . weight^T + bias.
  void logits(const View& input, const View& weight, const View& bias = {});

  View result() const { return logits_; }  // [wanted rows, vocab] on the device

  // The pasts now hold what was fed. Called once, when everything has succeeded.
  void commit() noexcept;

 private:
  Workspace::Slot spare() const { return x_slot_ == Workspace::hidden ? Workspace::normed : Workspace::hidden; }
  void multiply(const View& x, const Projection& projection, kernels::Linear call);
  void multiply_rows(kernels::Linear call, std::int64_t first, std::int64_t rows);
  void add_rows_of(const View& table, const View& indices);
  View upload(Workspace::Slot slot, std::span<const std::int32_t> values);
  View buffer(Workspace::Slot slot, std::int64_t columns);
  void tap(std::vector<float>& to, const View& x);
  std::vector<std::int32_t> positions() const;
  void rotate(const View& q, const View& k);

  kernels::Backend backend_;
  const Card& card_;
  Int8 int8_;
  Workspace& workspace_;
  std::span<const Feed> feeds_;
  Want want_;
  Taps* taps_;
  const Deviation* deviation_;

  std::int64_t rows_ = 0;
  std::vector<kernels::Sequence> sequences_;
  View ids_, x_, cos_, sin_, logits_;
  Workspace::Slot x_slot_ = Workspace::hidden;  // where x lies
  double theta_ = 0;
  std::int64_t layer_ = 0;
};

}  // namespace pkv::model
