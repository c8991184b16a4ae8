// The checks themselves: each is shown a small house with the rule kept and the rule broken.
#include "house/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "house/reading.h"
#include "support/shell.h"

namespace pkv::house {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> shown(const Findings& findings) {
  std::vector<std::string> each;
  for (const Finding& finding : findings) each.push_back(listed({finding}));
  for (std::string& line : each) line.pop_back();
  return each;
}

class SmallHouse : public testing::Test {
 protected:
  SmallHouse() {
    write("cmake/rooms.txt",
          "# words: not | a room\nbase: | fmt threads\nhf: base | nlohmann_json\nengine/kernels: base | hwy\n");
  }
  void write(const std::string& file, const std::string& text) const { folder_.write(file, text); }
  const std::filesystem::path& root() const { return folder_.path(); }

 private:
  support::TemporaryFolder folder_;
};

TEST_F(SmallHouse, EveryRoomHasARowAndEveryRowARoom) {
  write("docs/house.md",
        "| room | holds |\n|---|---|\n| **base** | all |\n| **cellar** | none |\n| **hf** | folders |\n");
  EXPECT_THAT(shown(rooms_not_told(root())),
              ElementsAre("cmake/rooms.txt:4: room engine/kernels has no row in docs/house.md",
                          "docs/house.md:4: cellar is no room of cmake/rooms.txt"));
}

TEST_F(SmallHouse, RoomMayIncludeWhatItLists) {
  write("src/hf/a.cc",
        "#include \"hf/a.h\"\n#include \"base/b.h\"\n#include <nlohmann/json.hpp>\n#include <vector>\n"
        "#include <sys/mman.h>\n// #include \"engine/kernels/no.h\"\n/*\n#include <fmt/no.h>\n*/\n");
  write("src/engine/kernels/k.cc",
        "#include \"hwy/foreach_target.h\"\n#include <immintrin.h>\n#include HWY_TARGET_INCLUDE\n");
  write("apps/pkv/main.cc", "#include \"engine/kernels/k.h\"\n#include <fmt/format.h>\n#include <CLI/CLI.hpp>\n");
  EXPECT_THAT(shown(forbidden_includes(root())), IsEmpty());
}

TEST_F(SmallHouse, RoomMayNotIncludeARoomItDoesNotList) {
  write("src/base/a.cc", "#include <vector>\n\n#include \"hf/a.h\"\n");
  EXPECT_THAT(shown(forbidden_includes(root())),
              ElementsAre("src/base/a.cc:3: room base may not use room hf (cmake/rooms.txt)"));
}

TEST_F(SmallHouse, RoomMayNotIncludeALibraryItDoesNotList) {
  write("src/hf/a.h", "#include <fmt/format.h>\n");
  write("src/hf/b.h", "#pragma once\n#  include \"hwy/highway.h\"\n");
  write("src/hf/c.h", "#include <gtest/gtest.h>\n#include <some/thing.h>\n");
  EXPECT_THAT(shown(forbidden_includes(root())),
              ElementsAre("src/hf/a.h:1: room hf does not list the library of <fmt/format.h> in cmake/rooms.txt",
                          "src/hf/b.h:2: room hf does not list the library of <hwy/highway.h> in cmake/rooms.txt",
                          "src/hf/c.h:1: room hf does not list the library of <gtest/gtest.h> in cmake/rooms.txt",
                          "src/hf/c.h:2: <some/thing.h> belongs to no library that the house knows"));
}

TEST_F(SmallHouse, HeadersShowNoLibrary) {
  write("src/hf/a.h", "#include <nlohmann/json.hpp>\n");
  write("src/engine/kernels/a-inl.h", "#include \"hwy/highway.h\"\n");
  EXPECT_THAT(shown(forbidden_includes(root())),
              ElementsAre("src/hf/a.h:1: a header shows the library of <nlohmann/json.hpp>"));
}

TEST_F(SmallHouse, RoomHeadersAreNamedByTheirRoom) {
  write("src/hf/a.cc", "#include \"a.h\"\n#include \"../base/b.h\"\n");
  write("src/cellar/a.cc", "");
  EXPECT_THAT(shown(forbidden_includes(root())),
              ElementsAre("src/cellar/a.cc:1: is in no room of cmake/rooms.txt",
                          "src/hf/a.cc:1: \"a.h\" is not the path of a room's header",
                          "src/hf/a.cc:2: \"../base/b.h\" is not the path of a room's header"));
}

TEST_F(SmallHouse, IntrinsicsAreForKernelsAlone) {
  write("src/base/a.cc", "#include <immintrin.h>\n");
  write("bench/b.cc", "\n#include <arm_neon.h>\n");
  EXPECT_THAT(shown(forbidden_includes(root())),
              ElementsAre("src/base/a.cc:1: <immintrin.h>: intrinsics are for src/engine/kernels alone",
                          "bench/b.cc:2: <arm_neon.h>: intrinsics are for src/engine/kernels alone"));
}

TEST_F(SmallHouse, RoomsUseOnlyRoomsAboveThem) {
  EXPECT_THAT(shown(broken_room_list(root())), IsEmpty());
  write("cmake/rooms.txt", "base: hf |\nhf: base | boost\n");
  EXPECT_THAT(shown(broken_room_list(root())), ElementsAre("cmake/rooms.txt:1: base uses hf, no room above it",
                                                           "cmake/rooms.txt:2: unknown library boost"));
  write("cmake/rooms.txt", "\n");
  EXPECT_THAT(shown(broken_room_list(root())), ElementsAre("cmake/rooms.txt:1: lists no rooms"));
}

TEST_F(SmallHouse, HeaderOpensWithACommentAndPragmaOnce) {
  write("src/base/good.h", "// One.\n#pragma once\n");
  write("src/base/good-inl.h", "// One.\n#include <vector>\n#if defined(A) == defined(HWY_TARGET_TOGGLE)\n");
  EXPECT_THAT(shown(headers_without_opening(root())), IsEmpty());
  write("src/base/a.h", "#pragma once\n");
  write("src/base/b.h", "// One.\n// Two.\n\n#pragma once\n");
  write("src/base/c.h", "");
  write("src/base/e-inl.h", "// One.\n#pragma once\n");
  std::string long_comment;
  for (int i = 0; i < 11; ++i) long_comment += "// More.\n";
  write("src/base/d.h", long_comment + "#pragma once\n");
  EXPECT_THAT(shown(headers_without_opening(root())),
              ElementsAre("src/base/a.h:1: opens with a comment of 0 lines instead of 1 to 10",
                          "src/base/b.h:3: #pragma once does not follow the opening comment",
                          "src/base/c.h:1: opens with a comment of 0 lines instead of 1 to 10",
                          "src/base/c.h:1: #pragma once does not follow the opening comment",
                          "src/base/d.h:1: opens with a comment of 11 lines instead of 1 to 10",
                          "src/base/e-inl.h:2: has no guard by HWY_TARGET_TOGGLE"));
}

TEST_F(SmallHouse, ArchitecturesAreNamedOnTheirPageAndInComments) {
  write("src/engine/model/arch/gpt2.cc", "struct Gpt2 {};\n");
  write("src/engine/model/arch/arch.cc", "");
  write("src/engine/model/architectures.cc", "\"gpt2\"\n");
  write("src/text/bpe.cc", "gpt2_pattern\n");
  write("src/engine/model/blocks.cc",
        "// as in GPT2\n/* and\n   falcon */ int x; // mpt\nbool empty, prompt, EMPTY, arch;\n");
  EXPECT_THAT(shown(architecture_names(root())), IsEmpty());
}

TEST_F(SmallHouse, ArchitecturesAreNotNamedInCode) {
  write("src/engine/model/arch/opt.cc", "");
  write("src/engine/model/a.cc", "/* gpt2 */ int x;\nif (name == \"// gpt2\") {}\n");
  write("src/engine/model/b.cc", "DistilRobertaModel m;\n\nint kMpt = 100'000; // mpt\nMPT_X\nXlmRobertaGpt2X\n");
  write("src/engine/model/c.cc", "adopt, option, kOptLayers\n");
  EXPECT_THAT(shown(architecture_names(root())),
              ElementsAre("src/engine/model/a.cc:2: code names the architecture gpt2",
                          "src/engine/model/b.cc:1: code names the architecture roberta",
                          "src/engine/model/b.cc:3: code names the architecture mpt",
                          "src/engine/model/b.cc:4: code names the architecture mpt",
                          "src/engine/model/b.cc:5: code names the architecture gpt2",
                          "src/engine/model/b.cc:5: code names the architecture roberta",
                          "src/engine/model/c.cc:1: code names the architecture opt"));
}

TEST_F(SmallHouse, ArchitecturesMayBeNamedInWhatIsSaidToPeople) {
  write("src/engine/model/arch/llama.cc", "");
  write("src/checker/causes/list.cc", "\"ggml-org/llama.cpp #7859\"\n");
  write("src/subjects/faults.cc", "\"what Falcon did\";\n\"as \\\"mpt\\\" has it\"\n");
  write("apps/pkv/main.cc", "\"  pkv check tiny-gpt2\\n\"\n\"GPT2 is one\"\n");
  EXPECT_THAT(shown(architecture_names(root())), IsEmpty());
}

TEST_F(SmallHouse, ArchitecturesAreNotComparedWithAnywhere) {
  write("src/engine/model/arch/llama.cc", "");
  write("src/checker/causes/list.cc", "\"as Falcon had it\"\n\"llama.cpp\", \"llama.c\"\n");
  write("src/subjects/faults.cc", "if (card.family == \"MPT\") say(\"what Falcon did\");\n");
  write("apps/pkv/main.cc", "{\"tiny-gpt2\"}\nis_falcon(\"a b\");\n");
  EXPECT_THAT(shown(architecture_names(root())),
              ElementsAre("src/checker/causes/list.cc:1: code names the architecture falcon",
                          "src/checker/causes/list.cc:2: code names the architecture llama",
                          "src/subjects/faults.cc:1: code names the architecture mpt",
                          "apps/pkv/main.cc:1: code names the architecture gpt2",
                          "apps/pkv/main.cc:2: code names the architecture falcon"));
}

TEST_F(SmallHouse, LinksMayLeadToFilesHeadingsAndOtherSites) {
  write("docs/a.md", "# Past, `reused`?\n## One\n## One\n```sh\n# not a heading\n```\n");
  write("README.md",
        "[a](docs/a.md) [b](docs/a.md#past-reused) ![c](docs)\n[d](docs/a.md#one-1 \"title\") [e](#here)\n"
        "<img src=\"docs/a.md\"> <a id=\"here\"></a> [f](https://example.org/x#y)\n`[g](no)` ``[`h](no)``\n"
        "[i\nj](docs/a.md)\n```text\n[k](no)\n```\n[l]: docs/a.md\n");
  EXPECT_THAT(shown(broken_links(root())), IsEmpty());
}

TEST_F(SmallHouse, LinksMayNotLeadNowhere) {
  write("docs/decisions/a.md", "# One\n[a](b.md)\n[up](../../README.md)\n[out](../../../x)\n");
  write("README.md",
        "[a](docs/decisions/a.md#two)\n\n[b\nc](no.md) `x` [d](no2.md)\n[e]: no3.md\n<img src=\"no.svg\">\n");
  write("models/README.md", "[a](#not-a-heading)\n```\n# Not a heading\n```\n");
  EXPECT_THAT(
      shown(broken_links(root())),
      ElementsAre("README.md:1: the link docs/decisions/a.md#two leads to no heading",
                  "README.md:4: the link no.md leads to no file", "README.md:4: the link no2.md leads to no file",
                  "README.md:5: the link no3.md leads to no file", "README.md:6: the link no.svg leads to no file",
                  "models/README.md:1: the link #not-a-heading leads to no heading",
                  "docs/decisions/a.md:2: the link b.md leads to no file",
                  "docs/decisions/a.md:4: the link ../../../x leads out of the repository"));
}

class Commands : public SmallHouse {
 protected:
  Commands() {
    script("dev", "#!/bin/sh\necho '  demo  shows'\necho '  test [ARGS...]  tests'\n");
    script("program", "#!/bin/sh\necho \"$@\"\nexit \"$1\"\n");
  }
  void script(const std::string& file, const std::string& text) const {
    write(file, text);
    std::filesystem::permissions(root() / file, std::filesystem::perms::owner_all);
  }
  std::vector<std::string> failing() const { return shown(failing_commands(root(), root() / "program")); }
};

TEST_F(Commands, MayExitWithZeroOrOne) {
  write("README.md",
        "```sh\n./dev demo\n$ pkv 0 > x\npkv 1 \\\n  2\nbuild/release/pkv 0 && cat x\nother 7\n```\n"
        "```text\npkv 3\n./dev no\n```\npkv 4\n```sh\n```\n");
  EXPECT_THAT(failing(), IsEmpty());
  EXPECT_THAT(shown(unknown_verbs(root())), IsEmpty());
}

TEST_F(Commands, MayNotFail) {
  write("README.md",
        "Words.\n\n```sh\npkv 0\npkv 2 \\\n  b\n./dev nope\n```\n\n```bash\n./build/release/pkv 3 | cat\n```\n");
  write("docs/a.md", "```sh\n./dev fuzzz 3\n```\n");
  EXPECT_THAT(failing(), ElementsAre("README.md:5: `pkv 2 b` exits with 2\n2 b\n",
                                     "README.md:11: `./build/release/pkv 3 | cat` exits with 3\n3\n"));
  EXPECT_THAT(shown(unknown_verbs(root())),
              ElementsAre("README.md:7: ./dev help lists no verb nope", "docs/a.md:2: ./dev help lists no verb fuzzz"));
}

TEST(WithoutComments, KeepsStringsAndLines) {
  EXPECT_EQ(without_comments("a // b\nc"), "a     \nc");
  EXPECT_EQ(without_comments("\"// a\" '\"' // b"), "\"// a\" '\"'     ");
  EXPECT_EQ(without_comments("a /* b\nc */ d"), "a     \n     d");
  EXPECT_EQ(without_comments("R\"(\" // )\" // x"), "R\"(\" // )\"     ");
  EXPECT_EQ(without_comments("1'000 // 'a"), "1'000      ");
  EXPECT_EQ(without_comments("\"\\\"//\" //"), "\"\\\"//\"   ");
}

}  // namespace
}  // namespace pkv::house
