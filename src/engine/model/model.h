// The door of room model: a source (a Hugging Face folder) becomes a model, a model makes pasts, and `forward` feeds
// tokens.
//
//   const model::Model m = model::load(hf::Folder::open("models/tiny-gpt2"), kernels::Backend("cpu"));
//   model::Past past = m.new_past();
//   const model::Feed feed{.ids = ids, .past = &past};
//   const model::Logits logits = m.forward({&feed, 1});
//
// The row law holds: for a fixed model, number format and backend, the logits of a position are a pure function of the
// tokens up to it (of a model that attends both ways: of the tokens up to the end of the piece it was fed in).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/kernels/backend.h"
#include "engine/model/card.h"
#include "engine/model/feed.h"
#include "engine/model/formats.h"
#include "engine/model/inventory.h"
#include "engine/model/past.h"
#include "engine/model/source.h"
#include "engine/tensor/buffer.h"
#include "files/hf/hf.h"

namespace pkv::model {

class Pass;
class Workspace;

// One architecture's weights and forward; see engine/model/arch/.
class Page {
 public:
  virtual ~Page() = default;
  virtual const Card& card() const = 0;
  virtual void forward(Pass& pass) const = 0;
};

// fp32 [rows, vocab], the rows of all feeds one after the other.
using Logits = Buffer;

class Model {
 public:
  const Card& card() const { return page_->card(); }
  const Source& source() const { return *source_; }
  const Inventory& weights() const { return weights_; }
  DType past_dtype() const { return past_dtype_; }
  const OutlierRule& outliers() const { return outliers_; }
  const SnapshotRule& snapshot_rule() const { return snapshot_rule_; }
  std::span<const QuantizedMatrix> quantized() const { return quantized_; }  // what loading has quantised
  const kernels::Backend& backend() const { return backend_; }

  // What the config and the files say that has no meaning here: keys and tensors, a line each.
  std::span<const std::string> notes() const { return notes_; }

  Past new_past() const;
  PastShape past_shape() const;
  // Makes a past hold what it has ids for, where it was rewound beyond what it held (Past::must_feed_again).
  void feed_again(Past& past) const;

  // Feeds each sequence its next tokens. On error every past is what it was. Error::usage for an empty feed, an id
  // outside the vocabulary, a past of another model or given twice, or more tokens than a table of positions has.
  Logits forward(std::span<const Feed> feeds, Want want = Want::all, Taps* taps = nullptr) const;

  // The operations that `forward` takes its bits from, by the names of kernels/numerics.h. Computes nothing.
  std::set<std::string> operations() const;

 private:
  friend Model load(std::unique_ptr<const Source> source, kernels::Backend backend, const LoadOptions& options);
  Model(std::unique_ptr<const Source> source, kernels::Backend backend, const LoadOptions& options);

  std::unique_ptr<Workspace> borrow() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  std::unique_ptr<const Source> source_;  // keeps the mapped weights alive
  kernels::Backend backend_;
  std::vector<kernels::Memory> memory_;
  std::unique_ptr<Page> page_;
  Inventory weights_;
  DType past_dtype_ = DType::f32;
  OutlierRule outliers_;
  SnapshotRule snapshot_rule_;
  std::vector<QuantizedMatrix> quantized_;
  std::vector<std::string> notes_;

  struct Shelf;
  std::shared_ptr<Shelf> shelf_;
};

struct Feeding {
  std::int64_t piece = 512;          // tokens fed in one call
  Progress progress = {};            // after each: tokens that the past holds, of those that it will hold; may throw
  std::function<bool()> go_on = {};  // asked before each
};

// Feeds a text in pieces, which bounds memory; the bits are those of one call. Logits [1, vocab] of its last token;
// none when `go_on` said no. Errors as those of `forward`.
std::optional<Logits> feed_in_pieces(const Model& model, Past& past, std::span<const std::int32_t> ids,
                                     const Feeding& how = {});

// Error::load, naming file and key or tensor, for anything that cannot be used as its config says; Error::usage for a
// number format that weights or pasts cannot have.
Model load(std::unique_ptr<const Source> source, kernels::Backend backend, const LoadOptions& options = {});
Model load(hf::Folder folder, kernels::Backend backend, const LoadOptions& options = {});

// What `load` would find, without reading a weight.
struct Inspection {
  Card card;
  Inventory weights;
  DType past_dtype = DType::f32;
  std::vector<std::string> notes;
};
Inspection inspect(const Source& source);

}  // namespace pkv::model
