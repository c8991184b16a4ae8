#include "engine/kernels/cpu/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels::cpu {
namespace {

// Leaves PKV_ISA and the choice as they were.
class InstructionSet : public testing::Test {
 protected:
  void TearDown() override {
    before_.empty() ? ::unsetenv("PKV_ISA") : ::setenv("PKV_ISA", before_.c_str(), 1);
    choose_instruction_set("", "");
  }

  const std::string before_ = std::getenv("PKV_ISA") == nullptr ? "" : std::getenv("PKV_ISA");
};

std::string refusal(std::string_view name, std::string_view where) {
  try {
    choose_instruction_set(name, where);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::usage);
    return e.what();
  }
  return "none";
}

TEST_F(InstructionSet, IsTheOneThatWasChosen) {
  for (const std::string& name : instruction_sets()) {
    choose_instruction_set(name, "");
    EXPECT_EQ(instruction_set(), name);
    EXPECT_THAT(table("cpu").open(1)->describe(), testing::HasSubstr("cpu (" + name + ")"));
  }
}

TEST_F(InstructionSet, IsTheBestUnlessTheEnvironmentSaysAnother) {
  ::unsetenv("PKV_ISA");
  choose_instruction_set("", "");
  EXPECT_EQ(instruction_set(), instruction_sets().front());
  ::setenv("PKV_ISA", "", 1);
  choose_instruction_set("", "");
  EXPECT_EQ(instruction_set(), instruction_sets().front());
  ::setenv("PKV_ISA", instruction_sets().back().c_str(), 1);
  choose_instruction_set("", "");
  EXPECT_EQ(instruction_set(), instruction_sets().back());
}

TEST_F(InstructionSet, RefusesWhatTheMachineLacks) {
  const std::string before = instruction_set();
  EXPECT_THAT(refusal("AVX9", "--isa"), testing::AllOf(testing::HasSubstr("--isa: this machine has no such"),
                                                       testing::HasSubstr(instruction_sets().front() + ", or a lesser"),
                                                       testing::HasSubstr("AVX9")));
  ::setenv("PKV_ISA", "avx2", 1);
  EXPECT_THAT(refusal("", "--isa"), testing::HasSubstr("PKV_ISA: this machine has no such"));
  EXPECT_EQ(instruction_set(), before) << "a refusal changes nothing";
}

}  // namespace
}  // namespace pkv::kernels::cpu
