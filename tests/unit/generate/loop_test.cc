#include <gtest/gtest.h>

#include "base/error.h"
#include "generate/generate.h"

namespace pkv {
namespace {

model::Model tiny(const std::string& name) {
  return model::load(hf::Folder::open(std::string(PKV_SOURCE_DIR) + "/models/" + name), kernels::Backend("cpu", 2));
}

const std::vector<std::int32_t> kPrompt{40, 310, 263, 344};

TEST(Generate, GreedyIsTheBestTokenEachTime) {
  const model::Model m = tiny("tiny-gpt2");
  const generate::Result r = generate::run(m, kPrompt, {.max_new_tokens = 5});
  std::vector<std::int32_t> text = kPrompt;
  for (int i = 0; i < 5; ++i) {
    model::Past past = m.new_past();
    const model::Feed feed{.ids = text, .past = &past};
    text.push_back(generate::argmax(m.forward({&feed, 1}, model::Want::last).span<float>()));
  }
  EXPECT_EQ(r.sequences[0].ids, std::vector(text.begin() + 4, text.end()));
}

}  // namespace
}  // namespace pkv
