#include "checker/check/report.h"

#include <fmt/format.h>

namespace pkv::check {

std::string gain_cell(const std::optional<Gain>& gain) {
  if (!gain) return "";
  return gain->times < 99.95 ? fmt::format("{:.1f} ×", gain->times) : fmt::format("{:.0f} ×", gain->times);
}

}  // namespace pkv::check
