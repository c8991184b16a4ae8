// A model as a folder and as the GGUF file that llama.cpp's own converter makes of it (tools/make_gguf_goldens.py): the
// same logits, bit for bit, and pasts that either may continue.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/json.h"
#include "engine/model/gguf/source.h"
#include "engine/model/open_source.h"
#include "support/models.h"

namespace pkv {
namespace {

namespace fs = std::filesystem;

fs::path files() { return support::source() / "tests" / "golden" / "gguf"; }

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(files())) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path().stem().string());
  }
  std::ranges::sort(found);
  return found;
}

// What the converter has no key for, set to what a reader of its files must take.
const std::map<std::string, std::map<std::string, Json>> kSaid = {
    {"gemma2-windows", {{"query_pre_attn_scalar", 12}}},
    {"gemma3-pattern-6", {{"query_pre_attn_scalar", 8}}},
    // The converter writes these whatever the config says, and counts heads of hidden_size / heads.
    {"glm-plain",
     {{"rms_norm_eps", 1e-5},
      {"rope_parameters",
       Json::Object{{"partial_rotary_factor", 2. / 12 + 1e-9}, {"rope_theta", 10000.}, {"rope_type", "default"}}}}},
    {"smollm3-list",
     {{"no_rope_layers", nullptr},
      {"layer_types", nullptr},
      {"use_sliding_window", false},
      {"sliding_window", nullptr}}},
};

// The golden folder, with those keys.
class GgufModels : public testing::TestWithParam<std::string> {
 protected:
  model::Model load_folder() const {
    const fs::path golden = support::golden_data() / GetParam();
    const auto said = kSaid.find(GetParam());
    if (said == kSaid.end()) return model::load(hf::Folder::open(golden), backend_);
    const fs::path changed = fs::path(testing::TempDir()) / ("pkv_gguf_" + GetParam());
    fs::remove_all(changed);
    fs::create_directories(changed);
    for (const auto& entry : fs::directory_iterator(golden)) {
      if (entry.path().extension() == ".safetensors") {
        fs::create_symlink(entry.path(), changed / entry.path().filename());
      }
    }
    Json config = hf::Config::open(golden / "config.json").json();
    for (const auto& [key, value] : said->second) config.members()[key] = value;
    std::ofstream(changed / "config.json") << config.dump();
    return model::load(hf::Folder::open(changed), backend_);
  }
  model::Model load_file() const { return model::load(model::open_source(files() / (GetParam() + ".gguf")), backend_); }

  const kernels::Backend backend_{"cpu", 1};
  const std::vector<std::int32_t> ids_{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 3, 1, 4};
};

model::Logits feed(const model::Model& model, model::Past& past, std::span<const std::int32_t> ids) {
  const model::Feed feed{.ids = ids, .past = &past};
  return model.forward({&feed, 1});
}

void expect_same(const model::Logits& a, const model::Logits& b) {
  ASSERT_EQ(shape_text(a.view()), shape_text(b.view()));
  EXPECT_EQ(std::memcmp(a.view().data, b.view().data, a.view().bytes()), 0);
}

TEST_P(GgufModels, GivesTheFoldersLogitsAndPasts) {
  const model::Model folder = load_folder(), file = load_file();
  const std::span ids(ids_);
  model::Past a = folder.new_past(), b = file.new_past();
  const model::Logits whole = feed(folder, a, ids);
  expect_same(whole, feed(file, b, ids));
  // Each continues what the other began.
  constexpr std::size_t kCut = 9;
  model::Past c = folder.new_past(), d = file.new_past();
  feed(folder, c, ids.first(kCut));
  feed(file, d, ids.first(kCut));
  expect_same(feed(file, c, ids.subspan(kCut)), feed(folder, d, ids.subspan(kCut)));
}

TEST_P(GgufModels, UsesAllThatTheFileSays) {
  const model::Inspection found = model::inspect(*model::open_source(files() / (GetParam() + ".gguf")));
  for (const std::string& note : found.notes) {
    EXPECT_EQ(note.find("not used"), note.npos) << note;
    EXPECT_EQ(note.find("unknown key"), note.npos) << note;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufModels, testing::ValuesIn(names()), [](const auto& tested) {
  std::string name = tested.param;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace pkv
