#include "support/transcript.h"

#include <gtest/gtest.h>

namespace pkv::support {
namespace {

// A source folder whose program is a shell script.
class Transcript : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("models/one", "");
    folder_.write("pkv", "#!/bin/sh\necho \"says $*\"\necho beware >&2\nexit 3\n");
    std::filesystem::permissions(folder_.path() / "pkv", std::filesystem::perms::owner_all);
  }
  TemporaryFolder folder_;
};

TEST_F(Transcript, IsKeptWhenNothingChanged) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  const std::string text = "Words.\n\n$ pkv a b\n| says a b\n! beware\n? 3\n\n$ ls models\n| one\n? 0\n";
  EXPECT_EQ(replay(text, shell), text);
}

TEST_F(Transcript, ShowsEveryKindOfChange) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  const std::string now = "$ pkv a\n| says a\n! beware\n? 3\n";
  EXPECT_EQ(replay("$ pkv a\n| says b\n! beware\n? 3\n", shell), now);
  EXPECT_EQ(replay("$ pkv a\n| says a\n? 3\n", shell), now);
  EXPECT_EQ(replay("$ pkv a\n| says a\n! beware\n? 0\n", shell), now);
  EXPECT_EQ(replay("$ pkv a\n", shell), now);
}

TEST_F(Transcript, ShowsEmptyLinesAndAMissingEnd) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  EXPECT_EQ(replay("$ printf 'a\\n\\nb '\n", shell), "$ printf 'a\\n\\nb '\n| a\n|\n| b \n|(no end of line)\n? 0\n");
}

TEST_F(Transcript, ShowsAFailureInsideAPipeAndACrash) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  EXPECT_EQ(shell.run("pkv | cat").status, 3);
  EXPECT_EQ(shell.run("sh -c 'kill -SEGV $$'").status, 128 + 11);
}

TEST_F(Transcript, WaitsForNothingThatCannotComeAnyMore) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  EXPECT_EQ(shell.run("(sleep 0.1; echo x > new) & await 'test -s new'").status, 0);
  const Ran ran = shell.run("no-such-program 2> /dev/null & await 'test -s never'");
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err, "ended before: test -s never\n");
}

TEST_F(Transcript, LeavesTheSourceFolderAlone) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  EXPECT_EQ(replay("$ echo x > new; cat new\n", shell), "$ echo x > new; cat new\n| x\n? 0\n");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "new"));
}

TEST_F(Transcript, NamesWhatVaries) {
  const Shell shell(folder_.path(), folder_.path() / "pkv");
  EXPECT_EQ(normalised("pkv cpu (AVX2), 2 threads", shell), "pkv cpu (SIMD), N threads");
  EXPECT_EQ(normalised("pkv cpu (AVX3_ZEN4), 1 thread", shell), "pkv cpu (SIMD), N threads");
  EXPECT_EQ(normalised("2 layers, 12 heads, 0.5", shell), "2 layers, 12 heads, 0.5");
  EXPECT_EQ(normalised("     0    3.4 ×  ✓ identical", shell), normalised("     0    128 ×  ✓ identical", shell));
  EXPECT_EQ(normalised("0,identical,3.41", shell), "0,identical,K");
  EXPECT_EQ(normalised("0,identical,", shell), "0,identical,");
  EXPECT_EQ(normalised("\"gain\": {\n \"times_faster\": 3.4\n},", shell), "\"gain\": GAIN,");
  EXPECT_EQ(normalised(shell.folder().string() + "/models/x", shell), "FOLDER/models/x");
}

std::string table(const std::string& numbers) {
  return "$ pkv check a\n|   min     -12.000000  -12.000000    0.000000    0.000000\n|   mean " + numbers +
         "    0.000000    0.000000\n| done\n";
}

TEST_F(Transcript, DigitsOfAnotherInstructionSetAreSettled) {
  const std::string approved = table("   -8.527669   -8.527669");
  EXPECT_EQ(settled(approved, approved), approved);
  EXPECT_EQ(settled(approved, table("   -8.527664   -8.527664")), approved);
}

TEST_F(Transcript, DigitsThatAreFartherApartAreNot) {
  const std::string approved = table("   -8.527669   -8.527669");
  for (const char* other : {"   -8.528669   -8.528669", "   -8.527669   -8.528669", "   -8.52766   -8.52766"}) {
    EXPECT_EQ(settled(approved, table(other)), table(other));
  }
  const std::string longer = "| more\n" + table("   -8.527664   -8.527664");
  EXPECT_EQ(settled(approved, longer), longer);
}

// Only the table of logits: elsewhere a digit is a digit.
TEST_F(Transcript, NothingElseIsSettled) {
  for (const char* other : {"| max |Δ| 0.000002\n", "| kept    1.000000  1.000000  0.000000  0.000000\n"}) {
    EXPECT_EQ(settled("| max |Δ| 0.000001\n", other), other);
  }
}

}  // namespace
}  // namespace pkv::support
