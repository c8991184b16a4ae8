// Texts that every HTML file holds, compiled into the library by cmake/html.cmake. For pieces.cc.
#pragma once

#include <string_view>

namespace pkv::show::html {

std::string_view style();    // html/style.css
std::string_view script();   // Vega's modules, then html/charts.js; empty where pkv was built without Vega
std::string_view licence();  // of Vega; likewise

}  // namespace pkv::show::html
