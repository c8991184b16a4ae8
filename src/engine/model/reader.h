// Reader: a page's way to its config and tensors. It finds tensors with and without the base model's prefix and by the
// names of old files, compares those that are stored twice, checks shapes and dtypes, keeps account of what was used,
// and converts what cannot be used in place (vectors and fp64 to fp32, Conv1D matrices transposed, matrices to the
// number format asked for). Without a backend it only checks: no weight is read but those that are stored twice.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/backend.h"
#include "engine/model/arrangement.h"
#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/checkpoint.h"
#include "engine/model/formats.h"
#include "engine/model/inventory.h"
#include "engine/model/source.h"
#include "engine/tensor/buffer.h"

namespace pkv::model {

// What a family's norms are made of.
struct NormForm {
  bool centred = true;    // the mean is subtracted
  bool weight = true;     // multiplied by NAME.weight,
  bool one_more = false;  // which is stored less 1
  bool bias = true;
};

// The part of a config that is about its language model: of one that holds several models `text_config`, else all.
const hf::Config& text_config(const hf::Config& config);

class Reader {
 public:
  Reader(const Source& source, const kernels::Backend* backend, const LoadOptions& options);

  const hf::Config& config() const { return text_config(source_.config()); }

  // Tensors named `name` are also looked for as `prefix` + `name`, with and without it twice. Of several that are there
  // the first by name is used, as transformers does, and a note says so when the others have other values.
  void base_prefix(std::string_view prefix) { prefix_ = prefix; }

  bool has(std::string_view name) const { return find(name) != nullptr; }

  // Error::load, naming source, tensor and shapes, for a tensor that is missing, has another shape, or a number format
  // that weights cannot have. So for all that follow.
  View matrix(const std::string& name, std::int64_t rows, std::int64_t columns);  // [rows, columns], as asked for
  View vector(const std::string& name, std::int64_t size);                        // [size], fp32
  // The same of a vector that is stored under either name or both, which `tied` says are one. Where they are not,
  // `name` is used.
  View vector(const std::string& name, const std::string& twin, std::int64_t size, bool tied);
  // The one number of a tensor of shape [1] or []; `absent` where there is none, and that is allowed.
  float number(const std::string& name, std::optional<float> absent = {});
  View constants(const std::vector<float>& values);  // [values.size()], fp32, placed as a tensor of their own
  std::vector<float> values(const std::string& name, std::int64_t size);  // of a vector; without a backend zeros

  // NAME.weight and NAME.bias. What is multiplied may be quantised, in the file or by the options; Error::usage where
  // the options ask for another way than that of the file.
  Norm norm(const std::string& name, std::int64_t width, double eps, bool bias = true);
  Norm norm(const std::string& name, std::int64_t width, double eps, const NormForm& form);
  // A norm of each head by weights of its own: one tensor [heads, head_dim], or one [head_dim] for each head.
  Norm head_norm(const std::string& name, std::int64_t heads, std::int64_t head_dim, double eps, bool centred);
  Norm head_norm(const std::vector<std::string>& names, std::int64_t head_dim, double eps, bool centred);
  // A convolution of each channel along the tokens, NAME.weight [channels, 1, taps] and NAME.bias.
  Filter filter(const std::string& name, std::int64_t channels, std::int64_t taps, bool bias);
  Projection linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias = true);
  Projection conv1d(const std::string& name, std::int64_t in, std::int64_t out);  // stored [in, out]; given [out, in]

  // A matrix that is never quantised anew.
  Projection unquantised(const std::string& name, std::int64_t out, std::int64_t in, bool bias = false);
  // A matrix for each of `count` experts, of which a row meets `chosen`: from BEFORE0AFTER, BEFORE1AFTER, ...; or from
  // one tensor `name` [count, out, in], stored [count, in, out] where `turned`, or as MXFP4 in NAME_blocks and
  // NAME_scales. Error::load where they are not all in one number format.
  struct Crowd {
    std::int64_t count = 1, chosen = 1, out = 1, in = 1;
  };
  Experts experts(const std::string& before, const std::string& after, const Crowd& crowd);
  Experts experts(const std::string& name, const Crowd& crowd, bool turned = false);
  View table_of_vectors(const std::string& name, std::int64_t rows, std::int64_t columns);  // [rows, columns], fp32

  // The embedding [card.vocab, width], and in `output()` the output layer's matrix of that shape, of the given
  // names. Where `card.tied` says that they are one, the file may hold either or both; both with other values are not
  // tied, as in transformers 5: then `card.tied` becomes false, and a note says so.
  Projection embedding(const std::string& name, const std::string& output, Card& card, std::int64_t width);
  Projection embedding(const std::string& name, const std::string& output, Card& card) {
    return embedding(name, output, card, card.hidden);
  }
  Projection output();  // without a bias

  // Says that tensors whose names end like this have no effect (masks and position tables kept as buffers), where they
  // belong to a module of which something is read.
  void without_effect(std::string_view suffix) { idle_.push_back(std::string(suffix)); }

  // The same of tables of frequencies, which are computed from the config; a note says so where `expected` differs by
  // more than half precision rounds.
  void without_effect(std::string_view suffix, std::span<const float> expected);

  // The same of tensors whose names begin like this (other models that the source holds).
  void without_effect_below(std::string_view prefix) { others_.push_back(std::string(prefix)); }

  // Error::load for an entry of the source that is no tensor, belongs to a module whose tensors are used, and is not
  // known: it may change what they mean.
  void refuse_others() const;

  // Tensors and other entries of the source that nobody asked for, a line each.
  std::vector<std::string> unused() const;

  // Format of the matrices that are stored quantised, where there are any.
  std::optional<quant::Format> stored_format() const { return stored_format_; }
  std::optional<std::int64_t> declared_context() const { return options_.context; }

  // What was loaded so far amounts to.
  const Inventory& inventory() const { return inventory_; }
  std::vector<kernels::Memory> take_memory() { return std::move(memory_); }
  std::vector<QuantizedMatrix> take_quantized() { return std::move(quantized_); }
  std::span<const std::string> notes() const { return notes_; }  // what converting has lost

 private:
  std::vector<std::string> names_of(std::string_view name) const;
  const containers::Tensor* find(std::string_view name) const;
  const containers::Other* find_other(std::string_view name) const;
  std::optional<StoredMatrix> find_stored(const std::string& name, std::int64_t out, std::int64_t in) const;
  [[noreturn]] void fail_missing(const std::string& name, std::span<const std::int64_t> shape) const;
  [[noreturn]] void fail_dtype(const containers::Tensor& t) const;
  void note_untied(const containers::Tensor& used, const containers::Tensor& other);
  void compare_others(const std::string& name, const containers::Tensor& used);
  const containers::Tensor& expect(const std::string& name, std::span<const std::int64_t> shape);
  Buffer wide_vector(const std::string& name, std::int64_t size);
  void widen(const containers::Tensor& t, std::span<float> to) const;
  Projection table(const std::string& name, std::int64_t rows, std::int64_t columns);
  View keep(const Buffer& host);
  View keep_matrix(const containers::Tensor& t, bool transpose) {
    return keep_matrix(t, transpose, arrangement(t));
  }
  View keep_matrix(const containers::Tensor& t, bool transpose, const Arrangement* stored);
  View places_of(const containers::Tensor& t);
  View keep_packed(View matrix, kernels::Memory memory);
  void copy(View& view);
  Projection keep_packed(quant::Matrix matrix);
  void place(View& view);
  Projection keep_linear(const std::string& name, std::int64_t out, std::int64_t in, bool transposed);
  void require_as_stored(const StoredMatrix& stored, const std::string& name) const;
  // `codes`, if any, stand in the place of the tensor's own.
  Projection keep_stored(StoredMatrix stored, const containers::Tensor& t, Buffer codes = {});
  Projection keep_plain(const containers::Tensor& t, bool transposed);
  const containers::Tensor& slice(const containers::Tensor& t, std::int64_t i);
  std::vector<Projection> keep_mxfp4(const std::string& name, const Crowd& crowd);
  Experts keep_experts(std::span<const Projection> all, const std::string& name, const Crowd& crowd);
  const Arrangement* arrangement(const containers::Tensor& t) const;
  Projection keep_decoded(quant::Matrix m, DType dtype);
  Projection encode(const containers::Tensor& t, bool transposed);
  void nest_scales(quant::Matrix& m, QuantizedMatrix& kept);
  void note_beyond(const containers::Tensor& t, DType dtype);
  void note_not_finite(const containers::Tensor& t);
  void note_infinite_rows(const quant::Matrix& m, const std::string& name);
  bool skips(const std::string& name) const;
  void count(const View& matrix);
  void count(const quant::Matrix& m);
  static Products product_of(const Projection& linear);
  void count_product(const Projection& linear);
  void progress(const containers::Tensor& t);

  bool is_idle(const containers::Tensor& t) const;

  const Source& source_;
  const kernels::Backend* backend_;
  LoadOptions options_;
  std::string prefix_;
  std::set<std::string, std::less<>> used_;
  std::vector<std::string> idle_, others_;
  std::vector<kernels::Memory> memory_;
  std::deque<containers::Tensor> slices_;  // of tensors that hold several matrices
  std::byte* room_ = nullptr;  // within the last memory that copies were put into
  std::size_t room_left_ = 0;
  std::vector<std::string> notes_;
  Inventory inventory_;
  std::vector<QuantizedMatrix> quantized_;
  std::map<const Arrangement*, View> places_;  // of those that products undo
  std::optional<quant::Format> stored_format_;
  std::string output_;    // name of the output matrix
  Projection embedding_;  // the output matrix too, when tied
  bool tied_ = false, noted_f64_ = false, noted_doubled_ = false;
  bool any_plain_ = false, noted_odd_rows_ = false;
  std::int64_t done_ = 0, total_ = 0;
};

}  // namespace pkv::model
