#include "engine/model/past_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/kernels/numerics.h"
#include "engine/model/fingerprint.h"

namespace pkv::model {
namespace {

// "cpu (AVX2)": without the threads, on whose number no bit depends.
std::string backend_text(const Model& model) {
  const std::string text = model.backend().device().describe();
  return text.substr(0, text.find(','));
}

// The version, and what the operations give: "1, 0123456789abcdef".
std::string numerics_text(const kernels::Backend& backend) {
  const std::vector<float> probe = kernels::numerics_probe(backend);
  return fmt::format("{}, {:016x}", kernels::kNumericsVersion, checksum(std::as_bytes(std::span(probe))));
}

// Names of a few layers, the number and hash of many.
std::string plain_text(const std::vector<std::string>& layers) {
  constexpr std::size_t kFew = 4;
  const std::string all = fmt::format("{}", fmt::join(layers, ", "));
  if (layers.size() <= kFew) return all;
  return fmt::format("{} layers ({:016x})", layers.size(), checksum(std::as_bytes(std::span(all))));
}

// Matrices of the folder have several number formats.
bool stored_mixed(const hf::Folder& folder) {
  std::optional<DType> one;
  for (const containers::Tensor& t : folder.tensors()) {
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
  if (w.splits_outliers()) text += fmt::format(", outliers from {}", model.int8().threshold);
  const bool stored_quantised = w.quantized && model.quantized().empty();
  if (w.as_stored && (stored_quantised || stored_mixed(model.folder()))) text += ", as stored";
  return text;
}

PastIdentity cheap_identity(const Model& model) {
  return {.config = model.folder().config().json().dump(),
          .weights = {},
          .format = format_text(model),
          .past_dtype = std::string(name_of(model.past_dtype())),
          .tokenizer = tokenizer_fingerprint(model.folder()),
          .backend = backend_text(model),
          .numerics = numerics_text(model.backend())};
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

PastIdentity identity_of(const Model& model, const PastFileOptions& options) {
  PastIdentity identity = cheap_identity(model);
  identity.weights = weights_fingerprint(model.folder(), options.threads, options.progress);
  return identity;
}

void require_savable(const Model& model) {
  if (!model.card().causal) {
    fail_usage({.what = "pasts of this model cannot be saved: it attends both ways, so that no past can be continued",
                .where = model.card().family,
                .expected = "a causal model"});
  }
  if (model.weights().splits_outliers() && model.int8().outliers_of_call) {
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
               "the --load-in and --dtype that it was saved with");
  require_same(saved, "has another number format", ours.past_dtype, theirs.past_dtype,
               "--past-dtype " + theirs.past_dtype);
  require_same(saved, "was made with another tokenizer", ours.tokenizer, theirs.tokenizer, "save it again");
  require_same(saved, "was computed by other instructions, which add up in another order", ours.backend, theirs.backend,
               "save it again on this machine");
  require_same(saved, "was computed by another version of the arithmetic", ours.numerics, theirs.numerics,
               "save it again");
  if (saved.shape != model.new_past().shape()) {
    fail_load({.what = "the saved past has another shape", .where = saved.file.path().string()});
  }
  const bool untouched = !saved.weights_files.empty() && saved.weights_files == weights_state(model.folder());
  if (untouched && !options.hash_weights) return;
  require_same(saved, "is of a model with other weights",
               weights_fingerprint(model.folder(), options.threads, options.progress), theirs.weights, "save it again");
}

}  // namespace pkv::model
