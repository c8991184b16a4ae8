// Where a result was computed: for reports, so that who reads them can tell, and repeat it. Nothing here is needed to
// compute anything.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv {
class JsonWriter;
}  // namespace pkv

namespace pkv::show {

// Each empty where it is not known.
struct Environment {
  std::string program;    // "pkv 0.1.0"
  std::string processor;  // "Intel(R) Xeon(R) Processor, 2 cores"
  std::string system;     // "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64"
  std::string compiler;   // "gcc 12.2.0, optimised"
  std::string time;       // "2026-11-25T20:41:18Z"; SOURCE_DATE_EPOCH where that is set
};

Environment environment(std::string_view program);

// As reports have it; the time is null where it is not known.
void write_json(JsonWriter& writer, const Environment& environment);

// The words that this process was started with; the first without its folder. Empty where the system does not tell.
std::vector<std::string> started_with();

// Words as a shell would have to be given them.
std::string shell_command(std::span<const std::string> words);

}  // namespace pkv::show
