#include "show/vega.h"

namespace pkv::show {

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
