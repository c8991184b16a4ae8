#include "files/gguf/model.h"

#include "support/gguf_bytes.h"
#include "unit/files/support.h"

namespace pkv {
namespace {

using support::GgufBytes;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Part `no` of `count`, with one tensor.
std::string part(std::uint32_t no, std::uint32_t count, std::string_view tensor, std::uint32_t tensors) {
  GgufBytes file;
  file.number("split.no", no);
  file.number("split.count", count);
  file.number("split.tensors.count", tensors);
  file.tensor(tensor, 0, {1}, std::string(4, static_cast<char>('a' + no)));
  return file.bytes();
}

class GgufParts : public InFolder {
 protected:
  std::filesystem::path path(int no) const { return folder_ / ("m-0000" + std::to_string(no) + "-of-00003.gguf"); }
  void put_all() {
    put(path(1), part(0, 3, "z", 3));
    put(path(2), part(1, 3, "a", 3));
    put(path(3), part(2, 3, "m", 3));
  }
  std::string refusal(int no) {
    return error_of([&] { gguf::Model::open(path(no)); });
  }
};

TEST_F(GgufParts, AnyNameOpensAll) {
  put_all();
  for (const int no : {1, 2, 3}) {
    const gguf::Model model = gguf::Model::open(path(no));
    EXPECT_EQ(model.path(), path(1));
    ASSERT_EQ(model.tensors().size(), 3u);
    EXPECT_EQ(text_of(model.find("a").data()), "bbbb");
    EXPECT_EQ(text_of(model.find("m").data()), "cccc");
    EXPECT_FALSE(model.has("x"));
  }
}

TEST_F(GgufParts, EachMustBeThereAndBeWhatItsNameSays) {
  put_all();
  std::filesystem::remove(path(2));
  EXPECT_THAT(refusal(3), AllOf(HasSubstr("part 2 of 3 is missing"), HasSubstr("m-00002-of-00003.gguf")));
  put(path(2), part(2, 3, "a", 3));
  EXPECT_THAT(refusal(1), AllOf(HasSubstr("is not the part"), HasSubstr("part 3 of 3, by split.no")));
  put(path(2), part(1, 3, "z", 3));
  EXPECT_THAT(refusal(1), AllOf(HasSubstr("tensor is in two parts"), HasSubstr("'z'")));
  put_all();
  put(path(1), part(0, 3, "z", 4));
  EXPECT_THAT(refusal(1), AllOf(HasSubstr("do not hold all tensors"), HasSubstr("4 tensors")));
  put(folder_ / "renamed.gguf", part(0, 3, "z", 3));
  EXPECT_THAT(error_of([&] { gguf::Model::open(folder_ / "renamed.gguf"); }), HasSubstr("-00001-of-00003.gguf"));
}

TEST(GgufModels, AreToldByTheirNames) {
  const std::vector<std::string> names{"b.gguf",       "mmproj-b.gguf",         "README.md",
                                       "imatrix.gguf", "a-00002-of-00002.gguf", "a-00001-of-00002.gguf"};
  EXPECT_THAT(gguf::models_among(names), ElementsAre("a-00001-of-00002.gguf", "b.gguf"));
}

}  // namespace
}  // namespace pkv
