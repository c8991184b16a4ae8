#include "engine/model/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/kernels/dry_run.h"
#include "engine/model/architectures.h"
#include "engine/model/checkpoint.h"
#include "engine/model/faults/deviation.h"
#include "engine/model/faults/misstate.h"
#include "engine/model/outline.h"
#include "engine/model/pass.h"
#include "engine/model/reader.h"
#include "files/hf/common_keys.h"

namespace pkv::model {
namespace {

struct Loaded {
  std::unique_ptr<Page> page;
  Inventory weights;
  std::vector<std::string> notes;
  std::vector<kernels::Memory> memory;
  std::vector<QuantizedMatrix> quantized;
  OutlierRule outliers;
};

void require_float(std::optional<DType> dtype, std::string_view what) {
  if (!dtype || is_float(*dtype)) return;
  fail_usage({.what = fmt::format("{} cannot have this number format", what),
              .expected = "fp32, fp16 or bf16",
              .found = std::string(name_of(*dtype))});
}

void require_encodable(const Quantize& q) {
  if (!quant::traits(q.format).has_blocks() || !q.block || quant::is_block_size(*q.block)) return;
  fail_usage({.what = "this is no block size",
              .expected = "a power of two from 32 to 4096",
              .found = std::to_string(*q.block)});
}

// Of a config that holds several models: what is about the others, and their tensors.
void accept_other_models(const hf::Config& config, Reader& reader) {
  for (const char* key :
       {"vision_config", "audio_config", "model_type", "image_token_index", "image_token_id", "video_token_id",
        "vision_start_token_id", "vision_end_token_id", "boi_token_index", "eoi_token_index", "mm_tokens_per_image",
        "projector_hidden_act", "vision_feature_layer", "multimodal_projector_bias", "spatial_merge_size",
        "initializer_range", "tie_word_embeddings"}) {
    config.value({key});
  }
  for (const char* part : {"vision_tower.", "model.vision_tower.", "visual.", "model.visual.", "multi_modal_projector.",
                           "model.multi_modal_projector.", "audio_tower.", "model.audio_tower.", "mtp."}) {
    reader.without_effect_below(part);
  }
}

// transformers 5 loads weights in the config's dtype unless it is told another; here they are what they are.
std::string note_on_dtype(const hf::Config& config, const Reader& reader, const LoadOptions& options) {
  if (options.dtype || options.quantize || reader.stored_format()) return {};
  const std::optional<DType> said = outline_of(config).dtype;
  const DType found = reader.inventory().dtype;
  if (!said || !is_float(*said) || *said == found) return {};
  return fmt::format(
      "{} says {}, but the weights are {}: they are computed with as they are; transformers 5 by itself "
      "would take {}, as --dtype {} does",
      config.file(), name_of(*said), name_of(found), name_of(*said), name_of(*said));
}

// That activations can be rounded as llama.cpp rounds them, and some are.
void require_as_ggml(const kernels::Backend& backend, const Source& source, const Inventory& weights) {
  if (!backend.ops().rounds_as_ggml) {
    fail_usage({.what = "this backend does not round activations as llama.cpp does",
                .where = std::string(backend.ops().name),
                .expected = "backend cpu or naive"});
  }
  if (weights.as_ggml) return;
  fail_usage({.what = "activations are rounded as llama.cpp rounds them only where they meet its formats",
              .where = source.path().string(),
              .expected = "matrices in Q4_K, Q8_0 and the like",
              .found = weights.describe()});
}

Loaded load_page(const Source& source, const kernels::Backend* backend, const LoadOptions& options) {
  require_float(options.dtype, "weights");
  require_float(options.past_dtype, "keys and values");
  if (options.quantize) require_encodable(*options.quantize);
  const hf::Config& whole = source.config();
  const hf::Config& config = text_config(whole);
  Reader reader(source, backend, options);
  Loaded loaded;
  const Architecture& architecture = architecture_of(whole);
  const QuantizationConfig quantization = read_quantization_config(whole);
  for (const hf::Config* part : {&whole, &config}) {
    hf::accept_common_keys(*part);
    part->without_effect({"bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"});  // for those who generate
  }
  if (&whole != &config) accept_other_models(whole, reader);
  loaded.page = architecture.load(reader);
  reader.refuse_others();
  loaded.notes.assign(source.notes().begin(), source.notes().end());
  for (const char* other : {"vision_config", "audio_config"}) {
    if (&whole == &config || !whole.has(other)) continue;
    loaded.notes.push_back(
        fmt::format("{}: {}: of this model the language model alone is computed, on texts", config.file(), other));
  }
  for (const std::string& key : whole.unread()) {
    loaded.notes.push_back(fmt::format("{}: unknown key ignored: {}", config.file(), key));
  }
  if (std::string said = quantization.disagrees(config.file(), reader.stored_format()); !said.empty()) {
    loaded.notes.push_back(std::move(said));
  }
  if (std::string said = note_on_dtype(whole, reader, options); !said.empty()) loaded.notes.push_back(std::move(said));
  loaded.notes.insert(loaded.notes.end(), reader.notes().begin(), reader.notes().end());
  std::ranges::move(reader.unused(), std::back_inserter(loaded.notes));
  loaded.weights = reader.inventory();
  loaded.memory = reader.take_memory();
  loaded.quantized = reader.take_quantized();
  if (options.as_ggml && backend != nullptr) {
    require_as_ggml(*backend, source, loaded.weights);
    loaded.notes.push_back("activations are rounded to 8 bits, as llama.cpp rounds them");
  }
  loaded.outliers = {
      .threshold = options.int8_threshold.value_or(quantization.threshold.value_or(OutlierRule{}.threshold)),
      .of_call = options.int8_outliers_of_call};
  return loaded;
}

std::string text_of(const PastShape& s) {
  return fmt::format("{} layers, keys and values for {} heads of size {}, {}{}", s.layers, s.kv_heads, s.head_dim,
                     name_of(s.dtype),
                     s.states.empty() ? "" : fmt::format("; {} states of {} bytes", s.states.size(), s.state_bytes()));
}

void check_feed(const Feed& feed, const Card& card, const PastShape& shape) {
  if (feed.past == nullptr || feed.past->shape() != shape) {
    fail_usage({.what = "the past given is not one of this model",
                .expected = text_of(shape),
                .found = feed.past == nullptr ? "no past" : text_of(feed.past->shape()),
                .hint = "Model::new_past"});
  }
  if (feed.ids.empty()) fail_usage({.what = "no tokens to feed", .expected = "at least one token"});
  for (const std::int32_t id : feed.ids) {
    if (id < 0 || id >= card.vocab) {
      fail_usage({.what = "token id outside the vocabulary",
                  .expected = fmt::format("0 to {}", card.vocab - 1),
                  .found = std::to_string(id)});
    }
  }
  const std::int64_t total = feed.past->length() + static_cast<std::int64_t>(feed.ids.size());
  if (card.context_is_hard && total > card.context) {
    fail_usage(
        {.what = "the text is longer than the model's context",
         .expected = fmt::format("at most {} tokens", card.context),
         .found = fmt::format("{} tokens", total),
         .hint = card.longest_context > card.context
                     ? fmt::format("a shorter text, or --longest-text {}: all tokens are then placed as in long texts",
                                   card.longest_context)
                     : "a shorter text"});
  }
}

}  // namespace

std::string Inventory::describe() const {
  std::string text(format());
  std::vector<std::pair<std::size_t, quant::Format>> others;
  for (const auto& [each, size] : formats) {
    if (each != quantized) others.emplace_back(size, each);
  }
  std::ranges::sort(others, std::greater<>());
  for (const auto& [size, each] : others) text += fmt::format(", {}", quant::name_of(each));
  if (block != 0) text += fmt::format(" in blocks of {}", block);
  if (nested) text += ", double quantised";
  return text;
}

// Workspaces not in use. A forward borrows one, so that several threads may use one model.
struct Model::Shelf {
  std::mutex mutex;
  std::vector<std::unique_ptr<Workspace>> free;
};

Model::Model(std::unique_ptr<const Source> source, kernels::Backend backend, const LoadOptions& options)
    : source_(std::move(source)), backend_(std::move(backend)), shelf_(std::make_shared<Shelf>()) {
  Loaded loaded = load_page(*source_, &backend_, options);
  page_ = std::move(loaded.page);
  weights_ = loaded.weights;
  past_dtype_ = options.past_dtype.value_or(weights_.dtype);
  snapshot_rule_ = options.snapshots;
  notes_ = std::move(loaded.notes);
  memory_ = std::move(loaded.memory);
  quantized_ = std::move(loaded.quantized);
  outliers_ = loaded.outliers;
}

Past Model::new_past() const { return Past(backend_, past_shape(), snapshot_rule_); }

PastShape Model::past_shape() const {
  PastShape shape{.layers = card().layers_with_keys(),
                  .kv_heads = card().kv_heads,
                  .head_dim = card().head_dim,
                  .dtype = past_dtype_,
                  .states = card().states()};
  for (std::size_t i = 0; i < card().windows.size(); ++i) {
    if (card().keeps_keys(static_cast<std::int64_t>(i))) shape.windows.push_back(card().windows[i]);
  }
  if (shape.widest() == 0) shape.windows.clear();
  return shape;
}

void Model::feed_again(Past& past) const {
  Past again = past.fork_of_held();
  feed_in_pieces(*this, again, past.ids().subspan(static_cast<std::size_t>(again.length())));
  past = std::move(again);
}

std::unique_ptr<Workspace> Model::borrow() const {
  const std::lock_guard lock(shelf_->mutex);
  if (shelf_->free.empty()) return std::make_unique<Workspace>();
  auto workspace = std::move(shelf_->free.back());
  shelf_->free.pop_back();
  return workspace;
}

void Model::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(shelf_->mutex);
  shelf_->free.push_back(std::move(workspace));
}

Logits Model::forward(std::span<const Feed> feeds, Want want, Taps* taps) const {
  const PastShape shape = past_shape();
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    check_feed(feeds[i], card(), shape);
    for (std::size_t j = 0; j < i; ++j) {
      if (feeds[j].past != feeds[i].past) continue;
      fail_usage({.what = "two feeds of one call share a past",
                  .expected = "a past of its own for each feed",
                  .found = fmt::format("the same past for feeds {} and {}", j, i),
                  .hint = "Past::fork, or one call after the other"});
    }
  }
  if (feeds.empty()) fail_usage({.what = "nothing to feed", .expected = "at least one feed", .found = "none"});
  for (const Feed& feed : feeds) {
    if (feed.past->must_feed_again()) feed_again(*feed.past);
  }
  auto workspace = borrow();
  const std::optional<Deviation> deviation = Deviation::of(backend_, card(), feeds);
  std::vector<Feed> misstated;
  std::vector<kernels::Memory> states;
  if (deviation) {
    misstated.assign(feeds.begin(), feeds.end());
    for (Feed& feed : misstated) feed.state = states.emplace_back(misstate(*this, feed)).data();
    feeds = misstated;
  }
  Pass pass(backend_, card(), outliers_, *workspace, feeds, want, taps, deviation ? &*deviation : nullptr);
  pass.run([&] { page_->forward(pass); });
  const View result = pass.result();
  Logits logits(DType::f32, {result[0], result[1]});
  backend_.download(logits.view().data, result.data, result.bytes());
  give_back(std::move(workspace));  // may fail, so before the pasts change
  pass.commit();
  return logits;
}

std::set<std::string> Model::operations() const {
  const kernels::DryRun dry(backend_);
  Past past(dry.backend(), past_shape());
  const std::int32_t id = 0;
  const Feed feed{.ids = {&id, 1}, .past = &past};
  Workspace workspace;
  Pass pass(dry.backend(), card(), outliers_, workspace, {&feed, 1}, Want::last, nullptr);
  page_->forward(pass);
  return dry.names();
}

Model load(std::unique_ptr<const Source> source, kernels::Backend backend, const LoadOptions& options) {
  return Model(std::move(source), std::move(backend), options);
}

Model load(hf::Folder folder, kernels::Backend backend, const LoadOptions& options) {
  return load(std::make_unique<const hf::Folder>(std::move(folder)), std::move(backend), options);
}

std::optional<Logits> feed_in_pieces(const Model& model, Past& past, std::span<const std::int32_t> ids,
                                     const Feeding& how) {
  const std::int64_t total = past.length() + std::ssize(ids);
  for (;;) {
    if (how.go_on && !how.go_on()) return std::nullopt;
    const auto piece = ids.first(std::min(static_cast<std::size_t>(how.piece), ids.size()));
    const Feed feed{.ids = piece, .past = &past};
    Logits logits = model.forward({&feed, 1}, Want::last);
    if (how.progress) how.progress(past.length(), total);
    ids = ids.subspan(piece.size());
    if (ids.empty()) return logits;
  }
}

Inspection inspect(const Source& source) {
  const Loaded loaded = load_page(source, nullptr, {});
  return {.card = loaded.page->card(),
          .weights = loaded.weights,
          .past_dtype = loaded.weights.dtype,
          .notes = loaded.notes};
}

}  // namespace pkv::model
