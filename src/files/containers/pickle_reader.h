// The machine that reads a pickle: a stack, marks in it, and a memo. One method per opcode, or per kind of opcode; the
// table of opcodes is in pickle_reader.cc, and everything that is not in it is refused. Part of pickle.h's
// implementation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/containers/pickle.h"

namespace pkv::containers {

class PickleReader {
 public:
  PickleReader(Pickle& pickle, std::string_view file) : pickle_(pickle), file_(file) {}

  void run();

 private:
  using Kind = PickleValue::Kind;
  static constexpr std::size_t kMaxStack = 1 << 18, kMaxMarks = 64;

  void step(unsigned char code);
  [[noreturn]] void refuse(unsigned char code) const;

  std::string where() const;
  [[noreturn]] void fail(std::string what, std::string expected = {}, std::string found = {}) const;

  std::string_view take(std::uint64_t size);
  std::uint64_t take_number(std::size_t size);  // little-endian
  std::string_view take_line();

  // What is below the last mark is out of reach.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void push(PickleValue value);
  PickleValue& top();
  PickleValue pop();
  std::span<const PickleValue> since_mark();
  void drop_mark();

  void count_values(std::size_t more);
  PickleValue kept(Kind kind, std::span<const PickleValue> items);
  PickleValue new_container(Kind kind, bool ordered = false);

  void proto();
  void frame();
  void integer(std::int64_t n) { push({Kind::integer, 0, n}); }
  void boolean(bool b) { push({Kind::boolean, 0, b ? 1 : 0}); }
  void long_integer();
  void number();
  void text(std::uint64_t size);
  void global(std::string_view module, std::string_view name);
  void global_line();
  void global_from_stack();
  void reduce();
  void build();
  void persistent();
  void mark();
  void tuple();
  void tuple_of(std::size_t size);
  void add(Kind kind, std::span<const PickleValue> items);
  void add_one(Kind kind, std::size_t size);
  void add_marked(Kind kind);
  void put(std::uint64_t number);
  void get(std::uint64_t number);
  void stop();

  Pickle& pickle_;
  std::string_view file_;
  std::size_t at_ = 0, begin_ = 0;  // next byte; first byte of the opcode
  std::vector<PickleValue> stack_, memo_;
  std::vector<std::size_t> marks_;
  std::size_t count_ = 0;
  bool stopped_ = false;
};

}  // namespace pkv::containers
