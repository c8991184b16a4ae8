#include "engine/model/past_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/checksum.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/model/fingerprint.h"

namespace pkv::model {
namespace {

// "cpu (AVX2)": without the threads, on whose number no bit depends.
std::string backend_text(const Model& model) {
  const std::string text = model.backend().describe();
  return text.substr(0, text.find(','));
}

// Names of a few layers, the number and hash of many.
std::string plain_text(const std::vector<std::string>& layers) {
  constexpr std::size_t kFew = 4;
  const std::string all = fmt::format("{}", fmt::join(layers, ", "));
  if (layers.size() <= kFew) return all;
  return fmt::format("{} layers ({:016x})", layers.size(), checksum(std::as_bytes(std::span(all))));
}

// Matrices of the source have several number formats.
bool stored_mixed(const Source& source) {
  std::optional<DType> one;
  for (const containers::Tensor& t : source.tensors()) {
    if (t.shape.size() != 2 || !is_float(t.dtype)) continue;
    if (one.value_or(t.dtype) != t.dtype) return true;
    one = t.dtype;
  }
  return false;
}

std::string format_text(const Model& model) {
  const Inventory& w = model.weights();
  std::string text = w.describe();
  if (w.quantized) text += fmt::format(", the rest {}", name_of(w.dtype));
  if (w.quantized && !w.plain.empty()) text += ", not quantised: " + plain_text(w.plain);
  if (w.splits_outliers()) text += fmt::format(", outliers from {}", model.outliers().threshold);
  if (w.as_ggml) text += ", activations rounded as llama.cpp rounds them";
  if (!model.card().regime.empty()) text += ", " + model.card().regime;
  const bool stored_quantised = w.quantized && model.quantized().empty();
  if (w.as_stored && (stored_quantised || stored_mixed(model.source()))) text += ", as stored";
  return text;
}

PastIdentity cheap_identity(const Model& model) {
  const kernels::Numerics numerics = kernels::probe_numerics(model.backend());
  return {.config = model.source().config().json().dump(),
          .weights = {},
          .format = format_text(model),
          .past_dtype = std::string(name_of(model.past_dtype())),
          .tokenizer = tokenizer_fingerprint(model.source()),
          .backend = backend_text(model),
          .numerics = numerics_text(numerics),
          .operations = operations_text(numerics, model.operations())};
}

// "1" of "1, 0123456789abcdef".
std::string_view version_of(std::string_view numerics) { return numerics.substr(0, numerics.find(',')); }

// Entries of "a 01, b 02", each once.
std::set<std::string> entries_of(const std::string& operations) {
  std::set<std::string> entries;
  for (std::size_t at = 0; at < operations.size();) {
    const std::size_t end = std::min(operations.find(", ", at), operations.size());
    entries.insert(operations.substr(at, end - at));
    at = end + 2;
  }
  return entries;
}

// Entries of `all` that `other` does not have.
std::string beyond(const std::set<std::string>& all, const std::set<std::string>& other) {
  std::vector<std::string> some;
  std::ranges::set_difference(all, other, std::back_inserter(some));
  return some.empty() ? "none of these operations" : fmt::format("{}", fmt::join(some, ", "));
}

// The keys in which two configs differ, with their values.
void require_same_config(const SavedPast& saved, const std::string& ours) {
  if (saved.identity.config == ours) return;
  const Json theirs = hf::Config::parse(saved.identity.config, "the saved config").json();
  const Json mine = parse_json(ours, "this model's config");
  const auto value = [](const Json& json, const std::string& key) {
    const Json* found = json.find(key);
    return found != nullptr ? fmt::format("{}: {}", key, found->dump().substr(0, 60)) : key + " missing";
  };
  const auto differs = [&](const std::string& name) {
    const Json *one = theirs.find(name), *other = mine.find(name);
    return one == nullptr || other == nullptr || *one != *other;
  };
  std::string key = "model_type";
  for (const Json* json : {&mine, &theirs}) {
    for (auto at = json->members().begin(); at != json->members().end() && !differs(key); ++at) key = at->first;
  }
  fail_load({.what = "the saved past is of a model with another config",
             .where = saved.file.path().string(),
             .expected = value(mine, key) + ", by this model's config.json",
             .found = value(theirs, key)});
}

void require_same(const SavedPast& saved, std::string_view what, const std::string& ours, const std::string& theirs,
                  std::string hint) {
  if (ours == theirs) return;
  fail_load({.what = fmt::format("the saved past {}", what),
             .where = saved.file.path().string(),
             .expected = ours,
             .found = theirs,
             .hint = std::move(hint)});
}

}  // namespace

std::string numerics_text(const kernels::Numerics& numerics) {
  return fmt::format("{}, {:016x}", kernels::kNumericsVersion, numerics.hash_of_first());
}

std::string operations_text(const kernels::Numerics& numerics, const std::set<std::string>& used) {
  std::vector<std::string> entries;
  for (const std::string& name : used) {
    const auto probed = std::ranges::find(numerics.operations, name, &kernels::ProbedOperation::name);
    if (probed == numerics.operations.end()) fail_internal({.what = "an operation without a probe", .found = name});
    entries.push_back(fmt::format("{} {:016x}", name, probed->hash()));
  }
  return fmt::format("{}", fmt::join(entries, ", "));
}

std::optional<Differing> differing_arithmetic(const PastIdentity& ours, const PastIdentity& theirs) {
  const bool same_version = version_of(ours.numerics) == version_of(theirs.numerics);
  if (!same_version || theirs.operations.empty()) {
    if (ours.numerics == theirs.numerics) return std::nullopt;
    return Differing{ours.numerics, theirs.numerics};
  }
  if (ours.operations == theirs.operations) return std::nullopt;
  const auto mine = entries_of(ours.operations), saved = entries_of(theirs.operations);
  return Differing{beyond(mine, saved), beyond(saved, mine)};
}

std::vector<std::string> operation_names(const PastIdentity& identity) {
  std::vector<std::string> names;
  for (const std::string& entry : entries_of(identity.operations)) names.push_back(entry.substr(0, entry.rfind(' ')));
  return names;
}

PastIdentity identity_of(const Model& model, const PastFileOptions& options) {
  PastIdentity identity = cheap_identity(model);
  identity.weights = weights_fingerprint(model.source(), options.threads, options.progress);
  return identity;
}

void require_savable(const Model& model) {
  if (!model.card().causal) {
    fail_usage({.what = "pasts of this model cannot be saved: it attends both ways, so that no past can be continued",
                .where = model.card().family,
                .expected = "a causal model"});
  }
  if (model.weights().splits_outliers() && model.outliers().of_call) {
    fail_usage({.what = "pasts cannot be saved where they depend on what else is in a call",
                .where = "int8 with outliers of the call",
                .hint = "--int8-outliers row"});
  }
}

void require_fit(const SavedPast& saved, const Model& model, const PastFileOptions& options) {
  require_savable(model);
  const PastIdentity ours = cheap_identity(model);
  const PastIdentity& theirs = saved.identity;
  require_same_config(saved, ours.config);
  require_same(saved, "was made with weights in another format", ours.format, theirs.format,
               "the --load-in, --dtype and --numerics that it was saved with");
  require_same(saved, "has another number format", ours.past_dtype, theirs.past_dtype,
               "--past-dtype " + theirs.past_dtype);
  require_same(saved, "was made with another tokenizer", ours.tokenizer, theirs.tokenizer, "save it again");
  require_same(saved, "was computed by other instructions, which add up in another order", ours.backend, theirs.backend,
               "save it again on this machine");
  if (const auto differing = differing_arithmetic(ours, theirs)) {
    require_same(saved, "was computed by another version of the arithmetic", differing->ours, differing->theirs,
                 "save it again");
  }
  PastShape shape = model.past_shape();
  const std::size_t state_bytes = shape.state_bytes();
  const std::string states = states_text(shape);
  shape.windows.clear();
  shape.states.clear();
  const bool whole = saved.snapshots.empty() || saved.state_data.size() / saved.snapshots.size() == state_bytes;
  if (saved.shape != shape || saved.states != states || !whole) {
    fail_load({.what = "the saved past has another shape", .where = saved.file.path().string()});
  }
  const bool untouched = !saved.weights_files.empty() && saved.weights_files == weights_state(model.source());
  if (untouched && !options.hash_weights) return;
  require_same(saved, "is of a model with other weights",
               weights_fingerprint(model.source(), options.threads, options.progress), theirs.weights, "save it again");
}

}  // namespace pkv::model
