// Numbers as the reports show them. For the renderers of this room.
#pragma once

#include <string>

#include "checker/measure/result.h"

namespace pkv::measure {

std::string time_text(double seconds);           // "812 us", "1.23 ms", "45.6 s", "3.33 min"
std::string spread_text(const Spread& seconds);  // "1.23 ms ± 2 %"; without the spread when there is one value
std::string times_text(const Ratio& ratio);      // "12.3 ± 0.4", "12.3"
std::string rate_text(double per_second);        // "1,234", "12.3", "0.21"
std::string bytes_text(double bytes);            // "1.5 kB", "12.3 MB", "4.2 GB"
std::string large_text(double value);            // "1.2 k", "249 M", "13.3 G"
std::string hash_text(std::uint64_t hash);       // 16 hexadecimal digits
std::string share_text(const Samples& shares);   // "0.81"; empty when there is none

// "twice as fast from 5 new tokens on, 10 times from 77"; "about" where the totals are interpolated.
std::string passes_text(const Generation& g);

// The tokens before the first new one: "128", "16 after 1,000".
std::string prompt_text(const Generation& g);

// Sentences about the reuse of prefixes: from which length on restoring beats recomputing.
std::vector<std::string> worth_sentences(const Result& result);

}  // namespace pkv::measure
