#include "files/containers/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "files/containers/pickle_reader.h"

namespace pkv::containers {

using Kind = PickleValue::Kind;

std::string_view name_of(Kind kind) {
  static constexpr std::array<std::string_view, 11> kNames{
      "None",   "True or False", "an integer",          "a number", "a text",         "a tuple",
      "a list", "a dict",        "a function or class", "a call",   "a persistent id"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view Pickle::text(const PickleValue& value) const {
  return bytes_.substr(static_cast<std::size_t>(value.number), value.count);
}

std::span<const PickleValue> Pickle::items(const PickleValue& value) const {
  const auto at = static_cast<std::size_t>(value.number);
  if (value.is(Kind::list) || value.is(Kind::dict)) return containers_[at].items;
  return std::span(values_).subspan(at, value.count);
}

Pickle::Pickle(std::string_view bytes, std::span<const std::string_view> globals, std::string_view file)
    : bytes_(bytes), globals_(globals) {
  if (bytes.size() > kMaxFile) {
    fail_load({.what = "pickle is too large",
               .where = std::string(file),
               .expected = fmt::format("at most {} bytes", kMaxFile),
               .found = fmt::format("{} bytes", bytes.size())});
  }
  PickleReader(*this, file).run();
}

// Reading bytes.

std::string PickleReader::where() const { return fmt::format("{}: byte {}", file_, begin_); }

void PickleReader::fail(std::string what, std::string expected, std::string found) const {
  fail_load({.what = std::move(what), .where = where(), .expected = std::move(expected), .found = std::move(found)});
}

std::string_view PickleReader::take(std::uint64_t size) {
  const std::uint64_t left = pickle_.bytes_.size() - at_;
  if (size > left) {
    fail_load({.what = "pickle ends within an opcode",
               .where = where(),
               .expected = fmt::format("{} more bytes", size),
               .found = std::to_string(left),
               .hint = "the file is damaged: download or copy it again"});
  }
  const std::string_view taken = pickle_.bytes_.substr(at_, size);
  at_ += size;
  return taken;
}

std::uint64_t PickleReader::take_number(std::size_t size) {
  std::uint64_t n = 0;
  const std::string_view bytes = take(size);
  for (std::size_t i = size; i-- > 0;) n = n << 8 | static_cast<unsigned char>(bytes[i]);
  return n;
}

std::string_view PickleReader::take_line() {
  const std::size_t end = pickle_.bytes_.find('\n', at_);
  if (end == std::string_view::npos) fail("a name does not end");
  const std::string_view line = take(end - at_);
  ++at_;
  return line;
}

// The stack.

void PickleReader::push(PickleValue value) {
  if (stack_.size() == kMaxStack) fail("too many values at once", fmt::format("at most {}", kMaxStack));
  stack_.push_back(value);
}

PickleValue& PickleReader::top() {
  if (stack_.size() == floor()) fail("an opcode finds nothing to work on");
  return stack_.back();
}

PickleValue PickleReader::pop() {
  const PickleValue value = top();
  stack_.pop_back();
  return value;
}

std::span<const PickleValue> PickleReader::since_mark() {
  if (marks_.empty()) fail("an opcode finds no mark");
  return std::span<const PickleValue>(stack_).subspan(marks_.back());
}

void PickleReader::drop_mark() {
  stack_.resize(marks_.back());
  marks_.pop_back();
}

void PickleReader::count_values(std::size_t more) {
  count_ += more;
  if (count_ > Pickle::kMaxValues) fail("too many values", fmt::format("at most {}", Pickle::kMaxValues));
}

PickleValue PickleReader::kept(Kind kind, std::span<const PickleValue> items) {
  count_values(items.size());
  const std::size_t at = pickle_.values_.size();
  pickle_.values_.insert(pickle_.values_.end(), items.begin(), items.end());
  return {kind, static_cast<std::uint32_t>(items.size()), static_cast<std::int64_t>(at)};
}

PickleValue PickleReader::new_container(Kind kind, bool ordered) {
  count_values(2);  // what its own fields take
  pickle_.containers_.push_back({.items = {}, .ordered = ordered});
  return {kind, 0, static_cast<std::int64_t>(pickle_.containers_.size() - 1)};
}

void PickleReader::tuple_of(std::size_t size) {
  if (stack_.size() - floor() < size) fail("an opcode finds nothing to work on");
  const PickleValue tuple = kept(Kind::tuple, std::span(stack_).last(size));
  stack_.resize(stack_.size() - size);
  push(tuple);
}

// Opcodes.

void PickleReader::proto() {
  const std::uint64_t version = take_number(1);
  if (version < 2 || version > 5) fail("pickle protocol is not supported", "2 to 5", std::to_string(version));
}

void PickleReader::frame() {
  const std::uint64_t size = take_number(8);
  if (size > pickle_.bytes_.size() - at_) fail("a frame is longer than the pickle", {}, fmt::format("{} bytes", size));
}

void PickleReader::long_integer() {
  constexpr std::size_t kMost = 8;
  const std::size_t size = take_number(1);
  const std::size_t begin = at_;
  const std::string_view bytes = take(size);
  if (size > kMost) fail("an integer is too large", fmt::format("at most {} bytes", kMost), fmt::format("{}", size));
  if (size == 0) return integer(0);
  at_ = begin;
  std::uint64_t n = take_number(size);
  const bool negative = (static_cast<unsigned char>(bytes.back()) & 0x80u) != 0;
  if (negative && size < kMost) n |= ~std::uint64_t{0} << (8 * size);
  integer(static_cast<std::int64_t>(n));
}

void PickleReader::text(std::uint64_t size) {
  const std::size_t begin = at_;
  take(size);
  push({Kind::text, static_cast<std::uint32_t>(size), static_cast<std::int64_t>(begin)});
}

void PickleReader::global(std::string_view module, std::string_view name) {
  const std::string whole = fmt::format("{}.{}", module, name);
  const auto at = std::ranges::find(pickle_.globals_, whole);
  if (at == pickle_.globals_.end()) {
    fail_load({.what = "pickle asks for a function or class that weights do not need",
               .where = where(),
               .expected = "the few that PyTorch writes for a state dict; pkv runs nothing that a file names",
               .found = quote(whole),
               .hint = "if you trust the file, load it with PyTorch and save its tensors alone"});
  }
  push({Kind::global, 0, at - pickle_.globals_.begin()});
}

void PickleReader::global_line() {
  const std::string_view module = take_line();
  global(module, take_line());
}

void PickleReader::global_from_stack() {
  const PickleValue name = pop(), module = pop();
  if (!name.is(Kind::text) || !module.is(Kind::text)) fail("STACK_GLOBAL without two texts");
  global(pickle_.text(module), pickle_.text(name));
}

void PickleReader::reduce() {
  const PickleValue arguments = pop(), function = pop();
  if (!function.is(Kind::global) || !arguments.is(Kind::tuple)) {
    fail("REDUCE without a function and its arguments", "a function or class, a tuple",
         fmt::format("{}, {}", name_of(function.kind), name_of(arguments.kind)));
  }
  if (pickle_.global(function) != Pickle::kOrderedDict) {
    return push(kept(Kind::call, std::array{function, arguments}));
  }
  if (arguments.count != 0) fail("OrderedDict is called with arguments", "none");
  push(new_container(Kind::dict, true));
}

void PickleReader::build() {
  const PickleValue state = pop(), object = top();
  const bool ordered = object.is(Kind::dict) && pickle_.containers_[static_cast<std::size_t>(object.number)].ordered;
  if (!ordered || !state.is(Kind::dict)) {
    fail("BUILD on something else than an OrderedDict", "an OrderedDict, a dict",
         fmt::format("{}, {}", name_of(object.kind), name_of(state.kind)));
  }
  const std::span<const PickleValue> items = pickle_.items(state);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const std::string_view key = items[i].is(Kind::text) ? pickle_.text(items[i]) : name_of(items[i].kind);
    if (key == "_metadata") continue;
    count_values(2);
    pickle_.attributes_.emplace_back(key.substr(0, 100));
  }
}

void PickleReader::persistent() {
  const PickleValue id = pop();
  push(kept(Kind::persistent, std::array{id}));
}

void PickleReader::mark() {
  if (marks_.size() == kMaxMarks) fail("nested too deep", fmt::format("at most {} marks", kMaxMarks));
  marks_.push_back(stack_.size());
}

void PickleReader::tuple() {
  const PickleValue tuple = kept(Kind::tuple, since_mark());
  drop_mark();
  push(tuple);
}

void PickleReader::add(Kind kind, std::span<const PickleValue> items) {
  const PickleValue& to = top();
  if (!to.is(kind)) fail(fmt::format("items for {}", name_of(kind)), {}, std::string(name_of(to.kind)));
  count_values(items.size());
  auto& have = pickle_.containers_[static_cast<std::size_t>(to.number)].items;
  have.insert(have.end(), items.begin(), items.end());
}

void PickleReader::add_one(Kind kind, std::size_t size) {
  if (stack_.size() - floor() < size) fail("an opcode finds nothing to work on");
  const std::vector<PickleValue> items(stack_.end() - static_cast<std::ptrdiff_t>(size), stack_.end());
  stack_.resize(stack_.size() - size);
  add(kind, items);
}

void PickleReader::add_marked(Kind kind) {
  const std::span<const PickleValue> since = since_mark();
  const std::vector<PickleValue> items(since.begin(), since.end());
  if (kind == Kind::dict && items.size() % 2 != 0) fail("SETITEMS with a key without a value");
  drop_mark();
  add(kind, items);
}

void PickleReader::put(std::uint64_t number) {
  // Every pickler numbers in order; so what is remembered needs no more room than its opcodes.
  if (number > memo_.size()) {
    fail("memo is not in order", fmt::format("at most {}", memo_.size()), std::to_string(number));
  }
  const PickleValue value = top();
  if (number < memo_.size()) {
    memo_[number] = value;
    return;
  }
  count_values(1);
  memo_.push_back(value);
}

void PickleReader::get(std::uint64_t number) {
  if (number >= memo_.size()) {
    fail("memo has nothing there", fmt::format("below {}", memo_.size()), std::to_string(number));
  }
  push(memo_[number]);
}

void PickleReader::stop() {
  pickle_.root_ = pop();
  stopped_ = true;
}

}  // namespace pkv::containers
