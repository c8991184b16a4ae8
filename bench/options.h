// The command line of every benchmark. `./dev bench ARGS` hands the same ARGS to all of them, so a name that only
// another one knows is no mistake: it is noted on stderr and passed over. Unknown names, missing values and values
// that make no sense are refused with a sentence and exit status 2; --help prints the usage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkv::bench {

class Options {
 public:
  static constexpr std::int64_t kMost = 1 << 24;

  // A program knows the names that its usage contains: "bench_peak [--output json]\n".
  Options(std::string_view usage, int argc, char** argv);

  // Whether the option was given; its value, the last one when given twice.
  bool has(std::string_view name) const { return text(name).has_value(); }
  std::optional<std::string_view> text(std::string_view name) const;
  // These refuse what is not a number, or beyond the limits.
  std::int64_t number(std::string_view name, std::int64_t otherwise, std::int64_t least,
                      std::int64_t most = kMost) const;
  double seconds(std::string_view name, double otherwise) const;
  std::vector<std::int64_t> numbers(std::string_view name, std::vector<std::int64_t> otherwise,
                                    std::int64_t least) const;
  // Common to several programs: --output json (or markdown), --threads N (0: all), --isa NAME, which is chosen here.
  bool json() const;
  int threads() const { return static_cast<int>(number("--threads", 0, 0, 1024)); }
  void choose_instruction_set() const;

  [[noreturn]] void refuse(const std::string& sentence) const;

 private:
  std::int64_t parsed(std::string_view name, std::string_view value, std::int64_t least, std::int64_t most) const;

  std::string_view program_;
  std::vector<std::pair<std::string_view, std::string_view>> given_;
};

}  // namespace pkv::bench
