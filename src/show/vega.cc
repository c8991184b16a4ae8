#include "show/vega.h"

#include <algorithm>

namespace pkv::show {
namespace {

constexpr std::string_view kTimes = R"json("encode": {"labels": {"update": {"text": {"signal":
    "indexof([1, 2, 5], round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-6)))) < 0 ? '' :
     datum.value < 0.999e-3 ? format(1e6 * datum.value, '~r') + ' µs' :
     datum.value < 0.999 ? format(1e3 * datum.value, '~r') + ' ms' : format(datum.value, ',~r') + ' s'"}}}})json";

}  // namespace

// JSON's strings hold no line ends.
std::string time_labels() {
  std::string line(kTimes);
  std::ranges::replace(line, '\n', ' ');
  return line;
}

std::string filled_in(std::string text, std::initializer_list<std::pair<std::string_view, std::string>> places) {
  for (const auto& [name, value] : places) {
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size())) {
      text.replace(at, name.size(), value);
    }
  }
  return text;
}

void JsonList::add(std::string_view value) {
  if (!inside_.empty()) inside_ += ',';
  inside_ += value;
}

}  // namespace pkv::show
