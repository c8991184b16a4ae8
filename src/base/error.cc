#include "base/error.h"

#include <utility>

namespace pkv {
namespace {

std::string joined(const Error::Text& t) {
  std::string s = t.where.empty() ? t.what : t.where + ": " + t.what;
  if (!t.expected.empty()) s += "\n  expected: " + t.expected;
  if (!t.found.empty()) s += "\n  found:    " + t.found;
  if (!t.hint.empty()) s += "\n  try:      " + t.hint;
  return s;
}

}  // namespace

Error::Error(Kind kind, Text text) : std::runtime_error(joined(text)), kind_(kind), text_(std::move(text)) {}

void fail_usage(Error::Text text) { throw Error(Error::Kind::usage, std::move(text)); }
void fail_load(Error::Text text) { throw Error(Error::Kind::load, std::move(text)); }
void fail_internal(Error::Text text) { throw Error(Error::Kind::internal, std::move(text)); }

}  // namespace pkv
