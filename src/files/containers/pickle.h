// A pickle as plain values: Python's serialised objects, read and never run. A call (opcode REDUCE) is noted, not made:
// which of a few known globals, with which arguments; what it means is for others to say. Opcodes that a PyTorch state
// dict does not need, and globals that are not in the given list, are refused by name. Protocols 2 to 5.
// Used by the PyTorch reader; not part of the room's door.
//
// Memory follows the pickle: a few times its size for what PyTorch writes, at most kMaxValues values of 16 bytes.
// No recursion, whatever is nested in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::containers {

struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    number,      // its value is not kept
    text,        // Pickle::text
    tuple,       // Pickle::items
    list,        // Pickle::items
    dict,        // Pickle::items: key, value, key, value; an OrderedDict too
    global,      // Pickle::global
    call,        // Pickle::items: the global, the tuple of its arguments
    persistent,  // Pickle::items: the id
  };
  Kind kind = Kind::none;
  std::uint32_t count = 0;  // of the text's bytes, of the tuple's items
  std::int64_t number = 0;  // an integer's or boolean's value; else where the rest is

  bool is(Kind k) const { return kind == k; }
};
std::string_view name_of(PickleValue::Kind kind);  // "a tuple"

class Pickle {
 public:
  static constexpr std::uint64_t kMaxFile = 16 << 20;
  static constexpr std::size_t kMaxValues = 1 << 22;
  static constexpr std::string_view kOrderedDict = "collections.OrderedDict";

  // `bytes` must outlive it. `globals`: "module.name" of those that may appear. `file` is only named in errors, which
  // are load errors. kOrderedDict called with nothing is an empty dict; of what is built onto such a dict the names are
  // kept, but for the `_metadata` of a state dict: versions of modules.
  Pickle(std::string_view bytes, std::span<const std::string_view> globals, std::string_view file);

  const PickleValue& root() const { return root_; }
  std::string_view text(const PickleValue& value) const;
  std::span<const PickleValue> items(const PickleValue& value) const;
  std::span<const std::string> attributes() const { return attributes_; }  // names of what was built onto a dict
  std::string_view global(const PickleValue& value) const { return globals_[static_cast<std::size_t>(value.number)]; }

 private:
  friend class PickleReader;

  struct Container {
    std::vector<PickleValue> items;
    bool ordered = false;
  };
  std::string_view bytes_;
  std::span<const std::string_view> globals_;
  std::vector<PickleValue> values_;  // of tuples, calls and ids
  std::vector<Container> containers_;
  std::vector<std::string> attributes_;
  PickleValue root_;
};

}  // namespace pkv::containers
