// JSON documents as the program writes them. For whoever has nlohmann's library; this room does not.
#pragma once

#include <string>

namespace pkv::show {

// Two spaces a level, and a newline at the end. Bytes that are no UTF-8, such as a path may hold, become U+FFFD.
template <class Json>
std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace pkv::show
