// What every page holds, as it was embedded when the library was built (cmake/page.cmake). For page.cc.
#pragma once

#include <string_view>

namespace pkv::page {

std::string_view style();    // page/page.css
std::string_view script();   // Vega's modules, then page/page.js
std::string_view licence();  // of Vega

}  // namespace pkv::page
