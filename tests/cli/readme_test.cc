// Samples in README.md are what the program prints: those that follow a line `<!-- printed by: pkv ... -->` must stand,
// line by line, in what that command prints now; compared as the approved cases are.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "support/places.h"
#include "support/transcript.h"

namespace pkv::support {
namespace {

struct Sample {
  int line = 0;
  std::string command, text;
};

std::vector<Sample> samples_of(const std::string& document) {
  static const std::regex mark(R"(<!-- printed by: (pkv .*\S) *-->)");
  std::vector<Sample> samples;
  std::smatch m;
  int number = 0;
  std::string line;
  for (std::istringstream lines(document); std::getline(lines, line); ++number) {
    if (!std::regex_match(line, m, mark)) continue;
    samples.push_back({number + 1, m[1], ""});
    std::getline(lines, line);  // the fence
    for (++number; std::getline(lines, line) && line != "```"; ++number) samples.back().text += line + '\n';
    ++number;
  }
  return samples;
}

// Whether `sample` is a run of whole lines of `printed`.
bool stands_in(const std::string& sample, const std::string& printed) {
  const auto lines = std::count(sample.begin(), sample.end(), '\n');
  for (std::size_t from = 0; from < printed.size(); from = printed.find('\n', from) + 1) {
    std::size_t to = from;
    for (auto n = lines; n > 0 && to < printed.size(); --n) to = printed.find('\n', to) + 1;
    if (settled(sample, printed.substr(from, to - from)) == sample) return true;
  }
  return false;
}

TEST(Readme, ShowsWhatIsPrinted) {
  const Shell shell(source(), program());
  const std::vector<Sample> samples = samples_of(read(source() / "README.md"));
  EXPECT_GE(samples.size(), 3u);
  for (const Sample& sample : samples) {
    const Ran ran = shell.run(sample.command);
    EXPECT_TRUE(stands_in(normalised(sample.text, shell), normalised(ran.out, shell)))
        << "README.md:" << sample.line << ": the sample is not what `" << sample.command << "` prints now:\n"
        << ran.out << ran.err;
  }
}

TEST(Readme, AnotherSampleIsSeen) {
  const std::string printed = "a\n  mean   1.000000  1.000000  0.000000  0.000000\nc\n";
  EXPECT_TRUE(stands_in("  mean   1.000001  1.000001  0.000000  0.000000\nc\n", printed));
  EXPECT_FALSE(stands_in("  mean   1.000100  1.000100  0.000000  0.000000\nc\n", printed));
  EXPECT_FALSE(stands_in("a\nc\n", printed));
}

}  // namespace
}  // namespace pkv::support
