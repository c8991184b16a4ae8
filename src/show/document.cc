#include "show/document.h"

#include <fmt/format.h>

#include "show/columns.h"

namespace pkv::show {

std::string data(double value) { return fmt::format("{:.9g}", value); }

Cell words(std::string text) { return {.shown = text, .data = text}; }

Cell count(std::int64_t value) {
  const std::string digits = fmt::format("{}", value);
  return {.shown = grouped(value), .brief = digits, .data = digits};
}

Cell short_count_of(std::int64_t value) { return {.shown = short_count(value), .data = fmt::format("{}", value)}; }

Cell number(double value, int terminal_digits) {
  return {.shown = short_number(value), .brief = short_number(value, terminal_digits), .data = data(value)};
}

}  // namespace pkv::show
