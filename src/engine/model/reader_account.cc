// The part of Reader that keeps account: what a source lacks, what nobody asked for, and what there is to say about it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "engine/model/reader.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

// What programs put around a model, and so into the names of its tensors.
struct Wrapper {
  std::string_view part, whose;
};
constexpr auto kWrappers = std::to_array<Wrapper>({
    {"_orig_mod", "torch.compile"},
    {"module", "DataParallel"},
    {"_fsdp_wrapped_module", "FSDP"},
    {"_checkpoint_wrapped_module", "activation checkpointing"},
});

// "_orig_mod.h.0.module.ln.weight" is "h.0.ln.weight" without wrappers; these, joined, go to `found`.
std::string without_wrappers(std::string_view name, std::string& found) {
  std::string rest;
  found.clear();
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find('.', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    if (std::ranges::find(kWrappers, part, &Wrapper::part) != kWrappers.end()) {
      found += fmt::format("{}.", part);
    } else {
      rest += fmt::format("{}{}", rest.empty() ? "" : ".", part);
    }
    at = end + 1;
  }
  return rest;
}

// A tensor whose name is one that was looked for, with something in front of it, or wrappers anywhere in it.
struct Wrapped {
  std::string tensor, prefix;  // prefix empty: there is none
};
Wrapped find_wrapped(std::span<const containers::Tensor> tensors, std::span<const std::string> names) {
  std::string found;
  for (const containers::Tensor& t : tensors) {
    const std::string bare = without_wrappers(t.name, found);
    if (!found.empty() && std::ranges::find(names, bare) != names.end()) return {t.name, found};
  }
  for (const containers::Tensor& t : tensors) {
    for (const std::string& name : names) {
      if (t.name.ends_with("." + name)) return {t.name, t.name.substr(0, t.name.size() - name.size())};
    }
  }
  return {};
}

std::string wrapped_by(std::string_view prefix) {
  const std::string parts = fmt::format(".{}", prefix);
  if (parts.find(".base_model.model.") != parts.npos) return " (PEFT)";
  for (const Wrapper& w : kWrappers) {
    if (parts.find(fmt::format(".{}.", w.part)) != parts.npos) return fmt::format(" ({})", w.whose);
  }
  return {};
}

constexpr std::string_view kMerge = "merge it: model.merge_and_unload().save_pretrained(FOLDER)";

// How a tensor is called whose layer holds something else in its place, and what that is.
struct Instead {
  std::string_view name, what, hint;
};
constexpr auto kInstead = std::to_array<Instead>({
    {"qweight", "a layer is quantised by GPTQ or AWQ, which pkv does not read",
     "the model that it was made from; pkv quantize makes nf4, fp4 and int8 of it"},
    {"weight_packed", "a layer is compressed (compressed-tensors), which pkv does not read",
     "the model that it was made from"},
    {"base_layer.weight", "a layer is that of an adapter (PEFT) that was never merged", kMerge},
    {"original_module.weight", "a layer is that of an adapter (PEFT) that was never merged", kMerge},
    {"parametrizations.weight.original0", "a layer's weight is parametrised (weight norm), which pkv does not compute",
     "torch.nn.utils.parametrize.remove_parametrizations before saving"},
});

bool is_of_adapter(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kParts{
      ".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B", ".lora_magnitude_vector", ".ia3_l"};
  return std::ranges::any_of(kParts, [&](std::string_view part) { return name.find(part) != name.npos; });
}

std::string parent_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return std::string(name.substr(0, dot == name.npos ? 0 : dot));
}

// "h.0.attn.bias", which is no bias where it is a matrix.
bool is_mask(std::string_view name) { return name.ends_with("attn.bias") || name.ends_with("attention.bias"); }

// Of a mask [.., n, n]: that anything above its diagonal is not zero. Another shape is none that a mask has.
bool shows_later_tokens(const containers::Tensor& t) {
  if (t.shape.size() < 2 || t.shape[t.shape.size() - 1] != t.shape[t.shape.size() - 2]) return true;
  const auto n = static_cast<std::size_t>(t.shape.back());
  const std::size_t cell = size_of(t.dtype), row = n * cell;
  const auto is_set = [](std::byte b) { return b != std::byte{0}; };
  for (std::size_t i = 0; i < n && row * n <= t.data.size(); ++i) {  // of several masks the first
    if (std::ranges::any_of(t.data.subspan(i * row + (i + 1) * cell, (n - i - 1) * cell), is_set)) return true;
  }
  return false;
}

}  // namespace

void Reader::fail_missing(const std::string& name, std::span<const std::int64_t> shape) const {
  const std::string folder = source_.path().string();
  const std::string expected = prefix_.empty()
                                   ? fmt::format("'{}' of shape {}", name, shape_text(shape))
                                   : fmt::format("'{}{}' or '{}' of shape {}", prefix_, name, name, shape_text(shape));
  const std::string inspect = fmt::format("pkv inspect {} --tensors", folder);
  for (const Instead& instead : kInstead) {
    if (!name.ends_with(".weight") && !name.ends_with(".bias")) break;
    const containers::Tensor* t = find(fmt::format("{}.{}", parent_of(name), instead.name));
    if (t == nullptr) continue;
    fail_load({.what = std::string(instead.what),
               .where = folder,
               .expected = expected,
               .found = fmt::format("'{}'", t->name),
               .hint = std::string(instead.hint)});
  }
  const auto [wrapped, before] = find_wrapped(source_.tensors(), names_of(name));
  if (!before.empty()) {
    const bool peft = before.find("base_model.model.") != before.npos;
    fail_load({.what = fmt::format("tensor names have '{}'{} in them, which those of this architecture have not",
                                   before, wrapped_by(before)),
               .where = folder,
               .expected = expected,
               .found = fmt::format("'{}'", wrapped),
               .hint = peft ? std::string(kMerge)
                            : fmt::format("save the model that is inside: model.{}.save_pretrained(FOLDER)",
                                          before.substr(0, before.size() - 1))});
  }
  const bool untied = name == output_ && !tied_;
  fail_load(
      {.what = "tensor is missing",
       .where = folder,
       .expected = expected,
       .found = fmt::format("{} tensors, none of that name", source_.tensors().size()),
       .hint = untied ? "tie_word_embeddings in config.json is false; true, if the model was trained so" : inspect});
}

void Reader::fail_dtype(const containers::Tensor& t) const {
  const bool codes = t.dtype == DType::i8 || t.dtype == DType::u8;
  fail_load({.what = "tensor has a number format that weights cannot have",
             .where = fmt::format("{}: tensor '{}'", t.file->path().string(), t.name),
             .expected = "F32, F16, BF16 or F64",
             .found = std::string(t.type()),
             .hint = codes ? "codes of a quantised matrix are read where all of its parts are there; see "
                             "docs/formats.md"
                           : ""});
}

void Reader::refuse_others() const {
  std::set<std::string, std::less<>> modules;
  for (const std::string& name : used_) modules.insert({name, parent_of(name)});
  for (const containers::Other& other : source_.others()) {
    if (other.kind == "None" || used_.contains(other.name) || !modules.contains(parent_of(other.name))) continue;
    if (parent_of(other.name).empty()) continue;  // of the checkpoint as a whole: a step, an epoch
    fail_load({.what = "an entry that is no tensor may change what its layer's tensors mean, and pkv does not know it",
               .where = fmt::format("{}: entry {}", source_.path().string(), quote(other.name)),
               .found = other.describe(),
               .hint = "if it means nothing, save the state dict without it"});
  }
}

// A buffer that programs keep beside the parameters of a module that is read.
bool Reader::is_idle(const containers::Tensor& t) const {
  for (const std::string& suffix : idle_) {
    if (!t.name.ends_with(suffix)) continue;
    std::string module = t.name.substr(0, t.name.size() - suffix.size());
    if (module.empty()) return true;
    if (module.back() != '.') module += '.';
    const auto first = used_.lower_bound(module);
    if (first != used_.end() && first->starts_with(module)) return !is_mask(suffix) || t.shape.size() >= 2;
  }
  return false;
}

void Reader::without_effect(std::string_view suffix, std::span<const float> expected) {
  without_effect(suffix);
  if (backend_ == nullptr) return;
  for (const containers::Tensor& t : source_.tensors()) {
    if (!t.name.ends_with(suffix) || t.format || !is_float(t.dtype)) continue;
    std::vector<float> stored(static_cast<std::size_t>(t.view().elements()));
    load_elements(t.data.data(), t.dtype, 0, stored);
    const auto near = [](float a, float b) { return std::abs(a - b) <= 0.02f * std::abs(b) + 1e-6f; };
    if (stored.size() == expected.size() && std::ranges::equal(stored, expected, near)) continue;
    notes_.push_back(fmt::format(
        "tensor '{}' holds other frequencies than config.json says, and is not used, as by transformers 5", t.name));
    return;
  }
}

std::vector<std::string> Reader::unused() const {
  std::vector<std::string> lines;
  std::vector<std::string_view> adapter, masks;
  for (const containers::Tensor& t : source_.tensors()) {
    const bool other = std::ranges::any_of(others_, [&](const std::string& s) { return t.name.starts_with(s); });
    if (other || used_.contains(t.name)) continue;
    if (is_idle(t)) {
      if (backend_ != nullptr && is_mask(t.name) && shows_later_tokens(t)) masks.push_back(t.name);
    } else if (is_of_adapter(t.name)) {
      adapter.push_back(t.name);
    } else {
      lines.push_back(fmt::format("tensor not used by this architecture: {}", t.name));
    }
  }
  for (const containers::Unreadable& t : source_.unreadable()) {
    lines.push_back(fmt::format("tensor not used by this architecture: {}", t.name));
  }
  if (!masks.empty()) {
    lines.push_back(
        fmt::format("masks of attention that are stored let tokens see later ones, and are not used, as by "
                    "transformers ({}; the first is {})",
                    masks.size(), masks.front()));
  }
  if (!adapter.empty()) {
    lines.push_back(
        fmt::format("an adapter's tensors (LoRA) are in the file and not applied, as by transformers ({}; "
                    "the first is {}): it was never merged",
                    adapter.size(), adapter.front()));
  }
  for (const containers::Other& other : source_.others()) {
    if (used_.contains(other.name)) continue;
    lines.push_back("entry that is no tensor is not used: " + other.describe());
  }
  return lines;
}

}  // namespace pkv::model
