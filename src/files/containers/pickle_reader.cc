#include "files/containers/pickle_reader.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"

namespace pkv::containers {
namespace {

struct Name {
  unsigned char code;
  std::string_view name;
};

// The opcodes that PickleReader::step does not know: those of protocols 0 and 1, and those that make objects of
// classes, byte strings and sets.
constexpr auto kRefused = std::to_array<Name>({
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
});

}  // namespace

void PickleReader::refuse(unsigned char code) const {
  for (const Name& refused : kRefused) {
    if (refused.code != code) continue;
    fail_load({.what = fmt::format("pickle uses opcode {}, which a state dict does not need", refused.name),
               .where = where(),
               .hint = "if you trust the file, load it with PyTorch and save its tensors alone"});
  }
  fail("is not a pickle: there is no such opcode", {}, fmt::format("0x{:02x}", code));
}

void PickleReader::step(unsigned char code) {
  // clang-format off
  switch (code) {
    case 0x80: return proto();                              // PROTO
    case 0x95: return frame();                              // FRAME
    case '.': return stop();                                // STOP
    case '(': return mark();                                // MARK
    case 'N': return push({});                              // NONE
    case 0x88: return boolean(true);                        // NEWTRUE
    case 0x89: return boolean(false);                       // NEWFALSE
    case 'J': return integer(static_cast<std::int32_t>(take_number(4)));  // BININT
    case 'K': return integer(static_cast<std::int64_t>(take_number(1)));  // BININT1
    case 'M': return integer(static_cast<std::int64_t>(take_number(2)));  // BININT2
    case 0x8a: return long_integer();                       // LONG1
    case 'G': return number();                              // BINFLOAT
    case 0x8c: return text(take_number(1));                 // SHORT_BINUNICODE
    case 'X': return text(take_number(4));                  // BINUNICODE
    case 0x8d: return text(take_number(8));                 // BINUNICODE8
    case ')': return tuple_of(0);                           // EMPTY_TUPLE
    case 0x85: return tuple_of(1);                          // TUPLE1
    case 0x86: return tuple_of(2);                          // TUPLE2
    case 0x87: return tuple_of(3);                          // TUPLE3
    case 't': return tuple();                               // TUPLE
    case ']': return push(new_container(Kind::list));       // EMPTY_LIST
    case 'a': return add_one(Kind::list, 1);                // APPEND
    case 'e': return add_marked(Kind::list);                // APPENDS
    case '}': return push(new_container(Kind::dict));       // EMPTY_DICT
    case 's': return add_one(Kind::dict, 2);                // SETITEM
    case 'u': return add_marked(Kind::dict);                // SETITEMS
    case 'c': return global_line();                         // GLOBAL
    case 0x93: return global_from_stack();                  // STACK_GLOBAL
    case 'R': return reduce();                              // REDUCE
    case 'b': return build();                               // BUILD
    case 'Q': return persistent();                          // BINPERSID
    case 'q': return put(take_number(1));                   // BINPUT
    case 'r': return put(take_number(4));                   // LONG_BINPUT
    case 0x94: return put(memo_.size());                    // MEMOIZE
    case 'h': return get(take_number(1));                   // BINGET
    case 'j': return get(take_number(4));                   // LONG_BINGET
    default: refuse(code);
  }
  // clang-format on
}

void PickleReader::number() {
  take(8);
  push({Kind::number, 0, 0});
}

void PickleReader::run() {
  while (!stopped_) {
    begin_ = at_;
    const auto code = static_cast<unsigned char>(take(1)[0]);
    if (begin_ == 0 && code != 0x80) fail("is not a pickle of protocol 2 or later", "opcode PROTO (0x80) first");
    step(code);
  }
  if (at_ == pickle_.bytes_.size()) return;
  begin_ = at_;
  fail("pickle goes on after its end", {}, fmt::format("{} bytes", pickle_.bytes_.size() - at_));
}

}  // namespace pkv::containers
