#include "files/containers/state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/tensor/view.h"
#include "files/containers/pickle.h"

namespace pkv::containers {
namespace {

using Kind = PickleValue::Kind;
using Values = std::span<const PickleValue>;

constexpr std::string_view kTensorV2 = "torch._utils._rebuild_tensor_v2", kTensorV3 = "torch._utils._rebuild_tensor_v3",
                           kParameter = "torch._utils._rebuild_parameter",
                           kParameterWithState = "torch._utils._rebuild_parameter_with_state",
                           kUntyped = "torch.storage.UntypedStorage";

// What a storage's class, or with an untyped one the dtype beside it, says about an element.
struct Element {
  std::string_view global, dtype;
  std::uint64_t size;
};
constexpr auto kElements = std::to_array<Element>({
    {"torch.DoubleStorage", "F64", 8},
    {"torch.FloatStorage", "F32", 4},
    {"torch.HalfStorage", "F16", 2},
    {"torch.BFloat16Storage", "BF16", 2},
    {"torch.LongStorage", "I64", 8},
    {"torch.IntStorage", "I32", 4},
    {"torch.ShortStorage", "I16", 2},
    {"torch.CharStorage", "I8", 1},
    {"torch.ByteStorage", "U8", 1},
    {"torch.BoolStorage", "BOOL", 1},
    {"torch.ComplexFloatStorage", "C64", 8},
    {"torch.ComplexDoubleStorage", "C128", 16},
    {"torch.uint16", "U16", 2},
    {"torch.uint32", "U32", 4},
    {"torch.uint64", "U64", 8},
    {"torch.float8_e4m3fn", "F8_E4M3", 1},
    {"torch.float8_e5m2", "F8_E5M2", 1},
    {"torch.float8_e4m3fnuz", "F8_E4M3FNUZ", 1},
    {"torch.float8_e5m2fnuz", "F8_E5M2FNUZ", 1},
    {"torch.float8_e8m0fnu", "F8_E8M0", 1},
});
constexpr std::array kOthers{Pickle::kOrderedDict, kTensorV2, kTensorV3, kParameter, kParameterWithState, kUntyped};

constexpr auto kGlobals = [] {
  std::array<std::string_view, kElements.size() + kOthers.size()> all;
  std::ranges::transform(kElements, all.begin(), &Element::global);
  std::ranges::copy(kOthers, all.begin() + kElements.size());
  return all;
}();

const Element* element_of(std::string_view global) {
  const auto at = std::ranges::find(kElements, global, &Element::global);
  return at == kElements.end() ? nullptr : &*at;
}

constexpr std::size_t kMostOthers = 100'000;

class Reader {
 public:
  Reader(std::string_view pickle, std::string_view file) : pickle_(pickle, kGlobals, file), file_(file) {}

  StateDict read() {
    const PickleValue& root = pickle_.root();
    if (!root.is(Kind::dict)) {
      fail_load({.what = "is not a state dict",
                 .where = std::string(file_),
                 .expected = "a dict of tensors",
                 .found = is_tensor(root) ? "one tensor" : std::string(name_of(root.kind))});
    }
    const Values items = pickle_.items(root);
    for (std::size_t i = 0; i < items.size(); i += 2) add(items[i], items[i + 1]);
    check_names();
    note_attributes();
    return std::move(read_);
  }

 private:
  [[noreturn]] void fail(std::string what, std::string expected = {}, std::string found = {},
                         std::string hint = {}) const {
    fail_load({.what = std::move(what),
               .where = fmt::format("{}: tensor {}", file_, quote(name_)),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = std::move(hint)});
  }

  bool is_call(const PickleValue& value, std::string_view function) const {
    return value.is(Kind::call) && pickle_.global(pickle_.items(value)[0]) == function;
  }
  bool is_tensor(const PickleValue& value) const {
    return is_call(value, kTensorV2) || is_call(value, kTensorV3) || is_parameter(value);
  }
  bool is_parameter(const PickleValue& value) const {
    return is_call(value, kParameter) || is_call(value, kParameterWithState);
  }

  // Whether a tensor is somewhere in it. A value may hold others many times, or itself: each is looked into once,
  // whoever holds it, since one with a tensor ends the reading.
  bool holds_tensors(const PickleValue& value) {
    std::vector<PickleValue> left{value};
    while (!left.empty()) {
      const PickleValue next = left.back();
      left.pop_back();
      if (is_tensor(next)) return true;
      if (!next.is(Kind::dict) && !next.is(Kind::list) && !next.is(Kind::tuple)) continue;
      const Values items = pickle_.items(next);  // an empty tuple is where the next one is
      if (items.empty() || !looked_into_.emplace(next.is(Kind::tuple), next.number).second) continue;
      left.insert(left.end(), items.begin(), items.end());
    }
    return false;
  }

  void add(const PickleValue& key, const PickleValue& value) {
    if (!key.is(Kind::text) || first_invalid_utf8(pickle_.text(key))) {
      fail_load({.what = "is not a state dict: a key is no name",
                 .where = std::string(file_),
                 .expected = "a text in UTF-8",
                 .found = key.is(Kind::text) ? quote(pickle_.text(key)) : std::string(name_of(key.kind))});
    }
    name_ = pickle_.text(key);
    names_.push_back(name_);
    if (is_tensor(value)) return read_.entries.push_back(tensor(value));
    if (holds_tensors(value)) {
      const std::string kind(name_of(value.kind));
      fail(fmt::format("is {} of tensors: this is a training checkpoint, not a state dict", kind), "a tensor", kind,
           "with PyTorch, save the state dict of the model alone, or call its save_pretrained()");
    }
    if (read_.others.size() == kMostOthers) fail("too many entries that are no tensors");
    read_.others.push_back({.name = std::string(name_), .kind = name_of(value.kind), .value = text_of(value)});
  }

  std::string text_of(const PickleValue& value) const {
    constexpr std::size_t kKept = 100;
    if (value.is(Kind::text)) return std::string(pickle_.text(value).substr(0, kKept));
    if (value.is(Kind::boolean)) return value.number != 0 ? "True" : "False";
    return value.is(Kind::integer) ? std::to_string(value.number) : "";
  }

  // Attributes that a program gave to parameters or to the dict itself. They change no value.
  void note_attributes() {
    if (!attributes_.empty()) {
      read_.notes.push_back(
          fmt::format("parameters with attributes of their own, which are not used ({}; the first: {})",
                      attributes_.size(), attributes_.front()));
    }
    const auto& built = pickle_.attributes();
    if (built.empty()) return;
    read_.notes.push_back(fmt::format("attributes of the state dict, which are not used ({}; the first: {})",
                                      built.size(), quote(built.front(), 40)));
  }

  // The state of a parameter: a dict, or a tuple of that and of what it keeps in slots.
  void count_attributes(const PickleValue& state) {
    const Values parts = state.is(Kind::tuple) ? pickle_.items(state) : Values(&state, 1);
    for (const PickleValue& part : parts) {
      if (part.is(Kind::none)) continue;
      if (!part.is(Kind::dict)) fail("has a state in another form", "a dict", std::string(name_of(part.kind)));
      const Values items = pickle_.items(part);
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        if (attributes_.size() == kMostOthers) fail("too many attributes");
        const std::string key = items[i].is(Kind::text) ? quote(pickle_.text(items[i]), 40) : "?";
        attributes_.push_back(fmt::format("{} of {}, {}", key, quote(name_),
                                          is_tensor(items[i + 1]) ? "a tensor" : name_of(items[i + 1].kind)));
      }
    }
  }

  // Arguments of a call, checked against what they may be at least and at most.
  Values arguments(const PickleValue& call, std::size_t least, std::size_t most) const {
    const Values arguments = pickle_.items(pickle_.items(call)[1]);
    if (arguments.size() >= least && arguments.size() <= most) return arguments;
    fail("is built from the wrong number of arguments", fmt::format("{} to {}", least, most),
         fmt::format("{} for {}", arguments.size(), pickle_.global(pickle_.items(call)[0])));
  }

  std::uint64_t whole(const PickleValue& value, std::string_view what) const {
    if (value.is(Kind::integer) && value.number >= 0) return static_cast<std::uint64_t>(value.number);
    fail(fmt::format("{} is no whole number", what), "an integer that is not negative",
         value.is(Kind::integer) ? std::to_string(value.number) : std::string(name_of(value.kind)));
  }

  std::vector<std::int64_t> numbers(const PickleValue& value, std::string_view what) const {
    if (!value.is(Kind::tuple)) fail(fmt::format("{} is no tuple", what), {}, std::string(name_of(value.kind)));
    if (value.count > StateDict::kMaxRank) {
      fail("rank is too high", fmt::format("at most {} dimensions", StateDict::kMaxRank), std::to_string(value.count));
    }
    std::vector<std::int64_t> all;
    for (const PickleValue& v : pickle_.items(value)) all.push_back(static_cast<std::int64_t>(whole(v, what)));
    return all;
  }

  const Element& element(const PickleValue& value, std::string_view what) const {
    const Element* found = value.is(Kind::global) ? element_of(pickle_.global(value)) : nullptr;
    if (found != nullptr) return *found;
    fail(fmt::format("{} is none that pkv knows", what), "torch.FloatStorage, torch.HalfStorage, ...",
         value.is(Kind::global) ? std::string(pickle_.global(value)) : std::string(name_of(value.kind)));
  }

  StateDict::Entry tensor(PickleValue value) {
    if (is_call(value, kParameterWithState)) {
      const Values given = arguments(value, 4, 4);
      count_attributes(given[3]);
      value = given[0];
    } else if (is_call(value, kParameter)) {
      value = arguments(value, 3, 3)[0];
    }
    const bool typed = is_call(value, kTensorV2);
    if (!typed && !is_call(value, kTensorV3)) fail("is a parameter of something else than a tensor");
    const Values given = typed ? arguments(value, 6, 7) : arguments(value, 7, 8);
    check_metadata(given, typed ? 6 : 7);
    StateDict::Entry entry{.name = std::string(name_)};
    const Element& e = storage(given[0], typed ? nullptr : &element(given[6], "dtype"), entry);
    entry.dtype = e.dtype, entry.readable = from_safetensors_name(e.dtype), entry.element_size = e.size;
    entry.offset = whole(given[1], "storage offset");
    entry.shape = numbers(given[2], "shape"), entry.stride = numbers(given[3], "stride");
    check_extent(entry);
    return entry;
  }

  // Says that the values are to be negated or conjugated.
  void check_metadata(Values given, std::size_t at) const {
    if (given.size() <= at || given[at].is(Kind::none)) return;
    if (given[at].is(Kind::dict) && pickle_.items(given[at]).empty()) return;
    fail("is a view that changes values (negated or conjugated)", {}, {}, "save a copy of it: tensor.clone()");
  }

  // ('storage', class, name, device, elements). `dtype` for an untyped one, whose elements are bytes.
  const Element& storage(const PickleValue& value, const Element* dtype, StateDict::Entry& entry) const {
    constexpr std::size_t kParts = 5;
    if (!value.is(Kind::persistent) || !pickle_.items(value)[0].is(Kind::tuple) ||
        pickle_.items(value)[0].count != kParts) {
      fail("has no storage", "a persistent id of 5 parts", std::string(name_of(value.kind)));
    }
    const Values id = pickle_.items(pickle_.items(value)[0]);
    if (!id[0].is(Kind::text) || pickle_.text(id[0]) != "storage" || !id[2].is(Kind::text) || !id[3].is(Kind::text)) {
      fail("has a storage in another form", "('storage', class, name, device, elements)");
    }
    entry.storage = pickle_.text(id[2]);
    if (!is_plain_file_name(entry.storage)) fail("storage has no plain name", {}, quote(entry.storage));
    const bool untyped = id[1].is(Kind::global) && pickle_.global(id[1]) == kUntyped;
    if (untyped && dtype == nullptr) fail("storage has no dtype");
    const Element& stored = untyped ? *dtype : element(id[1], "storage");
    if (__builtin_mul_overflow(whole(id[4], "storage size"), untyped ? 1 : stored.size, &entry.storage_bytes)) {
      fail("storage is too large", {}, fmt::format("{} elements", id[4].number));
    }
    return dtype != nullptr ? *dtype : stored;
  }

  // The last element lies within the storage, and the number of elements is a number.
  void check_extent(const StateDict::Entry& e) const {
    if (e.shape.size() != e.stride.size()) {
      fail("shape and stride are of different rank", shape_text(e.shape), shape_text(e.stride));
    }
    std::uint64_t elements = 1, last = e.offset;
    bool overflow = false;
    const bool empty = std::ranges::count(e.shape, 0) != 0;
    for (std::size_t i = 0; i < e.shape.size(); ++i) {
      const auto dim = static_cast<std::uint64_t>(e.shape[i]);
      std::uint64_t step = 0;
      overflow |= __builtin_mul_overflow(elements, dim, &elements);
      if (empty) continue;
      overflow |= __builtin_mul_overflow(dim - 1, static_cast<std::uint64_t>(e.stride[i]), &step);
      overflow |= __builtin_add_overflow(last, step, &last);
    }
    if (overflow || elements > std::numeric_limits<std::int64_t>::max() / e.element_size) {
      fail("shape or stride is too large", {}, fmt::format("{}, {}", shape_text(e.shape), shape_text(e.stride)));
    }
    const std::uint64_t most = e.storage_bytes / e.element_size;
    if (empty ? last > most : last >= most) {
      fail("lies beyond the end of its storage", fmt::format("at most {} elements", most),
           fmt::format("shape {}, stride {}, offset {}", shape_text(e.shape), shape_text(e.stride), e.offset));
    }
  }

  // Python takes the last of two; another reader may take the first.
  void check_names() {
    std::ranges::sort(names_);
    const auto twice = std::ranges::adjacent_find(names_);
    if (twice == names_.end()) return;
    name_ = *twice;
    fail("name appears twice");
  }

  Pickle pickle_;
  std::string_view file_, name_;
  std::vector<std::string_view> names_;
  std::vector<std::string> attributes_;                  // "'note' of 'wte.weight', a text"
  std::set<std::pair<bool, std::int64_t>> looked_into_;  // whether it is a tuple, and where it is
  StateDict read_;
};

}  // namespace

bool StateDict::Entry::dense() const {
  if (std::ranges::count(shape, 0) != 0) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && stride[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

StateDict parse_state_dict(std::string_view pickle, std::string_view file) { return Reader(pickle, file).read(); }

}  // namespace pkv::containers
