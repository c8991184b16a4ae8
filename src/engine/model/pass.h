// Pass: one forward through a page for one or more sequences. Its verbs are what pages are written in; each is one or a
// few operations of the backend's table on buffers that stay between passes.
//
// There is one stream of hidden states x [rows, hidden]. Verbs that compute give what they computed; `add` and
// `replace` alone change x:  p.add(p.attend(p.norm(l.ln_1), l.attn));
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/kernels/kernels.h"
#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/feed.h"
#include "engine/model/formats.h"
#include "engine/model/past.h"

namespace pkv::model {

class Deviation;
struct Fault;

// Buffers that outlive a pass, so that a step allocates nothing once they are large enough.
class Workspace {
 public:
  enum Slot {
    hidden,
    normed,
    qkv,
    context,
    inner,
    branch,
    cos,
    sin,
    record,
    misplaced,
    sequences,
    window_sequences,
    picked,
    logits,
    scratch,
    scores,
    routed,
    weights,
    pairs,
    kSlots
  };

  // [rows, columns] of any content; rows of several lie a whole number of cache lines apart, but those of `logits` end
  // to end. Replaces what the slot held: earlier Views of it are not to be used any more.
  View get(const kernels::Backend& backend, Slot slot, DType dtype, std::int64_t rows, std::int64_t columns);
  kernels::Batch begin(const kernels::Backend& backend, Slot slot, std::span<const kernels::Sequence> sequences);

  // A number for the memory that all slots have now. No workspace has had it before with other memory.
  std::uint64_t number() const { return number_; }

 private:
  std::byte* room(const kernels::Backend& backend, Slot slot, std::size_t bytes);

  kernels::Memory memory_[kSlots];
  std::uint64_t number_ = 0;
};

// What a branch gives, to be added to the hidden states: `scale` times `states`, or times the product of `states` by
// `last`, which is done together with the sum.
struct Branch {
  View states;  // [rows, hidden], or [rows, in of `last`]
  const Projection* last = nullptr;
  float scale = 1;
};

// Views and branches that a verb gives are good until the verb is used again.
class Pass {
 public:
  // `deviation`: what is to be computed wrongly; null: nothing.
  Pass(const kernels::Backend& backend, const Card& card, const OutlierRule& outliers, Workspace& workspace,
       std::span<const Feed> feeds, Want want, Taps* taps, const Deviation* deviation = nullptr);

  // Runs a page's verbs, as `body` calls them, or what the device has recorded of them.
  void run(const std::function<void()>& body);

  // x = scale * table[ids], table [vocab, hidden]; or where embeddings are narrower, x = scale * table[ids] . widen^T.
  void embed(const Projection& table, float scale = 1, const Projection& widen = {});
  // x += table[position], of positions as the card counts them; table [positions, hidden].
  void add_positions(const View& table);
  // x += table[0]: every token is of type 0. table [types, hidden].
  void add_token_type(const View& table);
  // Rotary angles of every row, used by every `attend` that names one of these. They outlive the pass.
  void rotary(std::span<const Rotation> rotations);

  View hidden() const { return x_; }  // x
  View norm(const Norm& norm);        // of x [rows, hidden]
  Branch attend(const View& input, const Attention& attention);
  Branch convolve(const View& input, const ShortConvolution& convolution);
  Branch recur(const View& input, const DeltaNet& net);
  Branch recur(const View& input, const Scan& scan);
  Branch mlp(const View& input, const Mlp& mlp);
  Branch mix(const View& input, const Mixture& mixture);
  Branch norm(const Norm& norm, const Branch& branch);  // of what the branch gives
  void add(const Branch& branch);                       // x += what the branch gives
  void replace(const View& states);                     // x = states, given by `norm` or `dense`
  void end_layer();

  // From here on only the rows whose logits are wanted.
  void head();
  // act(x . weight^T + bias) [rows, out].
  View dense(const Projection& projection, kernels::Act act);
  // The last verb: logits = input . weight^T + bias; of these `scale` times as much, limited softly to [-cap, cap].
  void logits(const View& input, const Projection& output, float scale = 1, float cap = 0);

  View result();  // [wanted rows, vocab] on the device

  // The pasts now hold what was fed. Called once, when everything has succeeded.
  void commit() noexcept;

 private:
  Workspace::Slot spare() const { return x_slot_ == Workspace::hidden ? Workspace::normed : Workspace::hidden; }
  void multiply(const View& x, const Projection& projection, kernels::Linear call);
  void multiply_rows(kernels::Linear call, std::int64_t first, std::int64_t rows);
  kernels::Linear prepared(const View& x, const Projection& projection, kernels::Linear call);
  void multiply_each(const View& x, const Experts& experts, const View& starts, const View& out);
  void mix_rows(const View& input, const Mixture& mixture, const Fault* fault, const View& out);
  template <class Call>
  void call(void (*kernels::Ops::*operation)(kernels::Device&, const Call&) noexcept,
            const std::type_identity_t<Call>& what);
  void upload_record();
  std::vector<std::int32_t> positions() const;
  View upload(Workspace::Slot slot, std::span<const std::int32_t> values);
  void collect_shards(const View& shards, const View& parts);
  View buffer(Workspace::Slot slot, std::int64_t columns);
  void tap(std::vector<float>& to, const View& x);
  // Queries and keys of the call; `rotation`: which of the pass's, -1: none.
  void turn(const View& q, const View& k, int rotation);
  void rotate(const View& q, const View& k, int rotation, std::int64_t first_row);
  std::pair<View, View> angles_of(int rotation) const;  // cosines and sines of all rows
  void tap_embedded();
  void begin_pieces();
  // Calls body(batch) for each part of the call after which a state is written. All rows, as a rule.
  template <class Body>
  void each_piece(const Body& body) const;
  void convolve(const View& x, const Filter& filter, const View& out);
  template <class Body>
  void each_run(const Body& body) const;
  void normalise(const Norm& norm, const View& x, const View& out);
  View computed(const Branch& branch);

  kernels::Backend backend_;
  const Card& card_;
  OutlierRule outliers_;
  Workspace& workspace_;
  std::span<const Feed> feeds_;
  Want want_;
  Taps* taps_;
  const Deviation* deviation_;

  std::int64_t rows_ = 0;
  // By whether a layer sees a window: the same rows, other blocks.
  std::vector<kernels::Sequence> sequences_, window_sequences_;
  kernels::Batch batch_, window_batch_;
  std::vector<kernels::Batch> pieces_;  // empty: no layer keeps a state
  std::vector<kernels::Memory> piece_memory_;
  View ids_, positions_, types_, wanted_;       // int32, on the device before the first verb
  View factors_;                                // fp32 [rows]: of queries, if they grow with their position
  View x_, cos_, sin_;                          // cos, sin [rows, pairs of all rotations]
  Workspace::Slot x_slot_ = Workspace::hidden;  // where x lies
  std::span<const Rotation> rotations_;
  std::int64_t layer_ = 0;
  std::int64_t with_keys_ = 0;  // layers before this one that keep keys and values
  std::size_t with_state_ = 0;  // and those that keep a state
};

}  // namespace pkv::model
