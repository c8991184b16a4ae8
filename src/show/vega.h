// Vega specifications as JSON text with places, "$name", for what changes from chart to chart. JSON is put there as it
// is; strings must need no escapes.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace pkv::show {

// Every "$name" in the text replaced. A place's name must not begin another's.
std::string filled_in(std::string text, std::initializer_list<std::pair<std::string_view, std::string>> places);

// A member of an axis of seconds on a logarithmic scale: its ticks say "100 ms", "2 s"; of those between powers of ten
// the ones with 2 and 5 do.
std::string time_labels();

// "[a,b]": of JSON values, in the order in which they are added.
class JsonList {
 public:
  void add(std::string_view value);
  std::string json() const { return "[" + inside_ + "]"; }

 private:
  std::string inside_;
};

}  // namespace pkv::show
