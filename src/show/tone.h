// Good, bad or not sure: what a mark and a colour say, in every form.
#pragma once

#include <string_view>

namespace pkv::show {

enum class Tone { good, bad, unsure };

constexpr std::string_view mark_of(Tone tone) { return tone == Tone::good ? "✓" : tone == Tone::bad ? "✗" : "?"; }

}  // namespace pkv::show
