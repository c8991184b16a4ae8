// Files of recordings as tools/record_transformers.py writes them.
#include "subjects/recorded.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "files/containers/safetensors.h"

namespace pkv::subjects {
namespace {

using testing::ElementsAre;

// A file of tensors of fp32, beside `ids`.
class Written {
 public:
  explicit Written(const std::vector<std::int64_t>& ids) : ids_(ids) {
    add_bytes("ids", DType::i64, {std::ssize(ids_)}, std::as_bytes(std::span(ids_)));
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, std::vector<float> values) {
    floats_.push_back(std::move(values));
    add_bytes(name, DType::f32, std::move(shape), std::as_bytes(std::span(floats_.back())));
  }
  check::Recording read(const std::map<std::string, std::string>& metadata) const {
    const auto file = std::filesystem::path(testing::TempDir()) / "pkv-recorded-test.safetensors";
    containers::write_safetensors(file, tensors_, metadata);
    check::Recording r = read_recording(file);
    std::filesystem::remove(file);
    return r;
  }

 private:
  void add_bytes(std::string name, DType dtype, std::vector<std::int64_t> shape, std::span<const std::byte> data) {
    tensors_.push_back({.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .data = data});
  }
  std::vector<std::int64_t> ids_;
  std::vector<std::vector<float>> floats_;  // whose memory stays where it is when there are more
  std::vector<containers::Tensor> tensors_;
};

Written of_three_tokens() {
  Written file({5, 6, 7});
  file.add("logits", {3, 2}, {1, 2, 3, 4, 5, 6});
  file.add("probe.again", {1, 2}, {5, 6});
  file.add("suppose.window=2", {1, 2}, {7, 8});
  return file;
}

TEST(RecordedFile, OfVersion2SaysWhichRowsItHolds) {
  Written file({5, 6, 7});
  file.add("logits", {2, 2}, {1, 2, 5, 6});
  file.add("probe.wide_with", {2, 2}, {1, 2, 5, 6});
  file.add("probe.states_apart", {3, 1, 2}, {0, 1, 0, 1, 2, 3});
  file.add("probe.heads_apart", {2, 1, 4}, {0, 0, 1, 1, 0, 2, 1, 3});
  file.add("probe.one_and_two", {3, 2}, {1, 1, 2, 2, 3, 3});
  file.add("routes", {1, 3, 3}, {-1, 0, 1, 0.25f, 0.5f, 2, -1, 0, 1});
  const check::Recording r = file.read({{"probes", "2"},
                                        {"probe_past", "2"},
                                        {"probe_rows", "1"},
                                        {"rows", "0,2"},
                                        {"rows.probe.wide_with", "0,2"},
                                        {"probe_wide_format", "float64"},
                                        {"supposed_for", "wide_with"},
                                        {"uses_in", "torch.float32"},
                                        {"probe_one_and_two", "1"},
                                        {"route_layers", "4"},
                                        {"tried", "window past-ignored"},
                                        {"left_out", "probe.cropped: no"},
                                        {"pieces", "2,1"},
                                        {"past_lengths", "2,-1"}});
  EXPECT_THAT(r.at, ElementsAre(0, 2));
  ASSERT_TRUE(r.probes);
  EXPECT_THAT(r.probes->at.at("wide_with"), ElementsAre(0, 2));
  EXPECT_EQ(r.probes->wide_format, "float64");
  EXPECT_EQ(r.probes->uses_format, "fp32");
  EXPECT_EQ(r.probes->one_and_two_at, 1);
  EXPECT_EQ(r.probes->runs.at("one_and_two").rows(), 3);
  EXPECT_EQ(r.probes->states_apart.layers.size(), 3u);
  EXPECT_THAT(r.probes->heads_apart.layers.at(1), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(r.probes->tried, ElementsAre("window", "past-ignored"));
  EXPECT_THAT(r.probes->left_out, ElementsAre("probe.cropped: no"));
  ASSERT_TRUE(r.routes);
  EXPECT_THAT(r.routes->layers, ElementsAre(4));
  EXPECT_FLOAT_EQ(r.routes->apart.layers.at(0).at(3), 0.25f);
  EXPECT_EQ(r.past_lengths.at(1), std::nullopt);
}

TEST(RecordedFile, OfVersion1IsRead) {
  const check::Recording r = of_three_tokens().read({{"probes", "1"}, {"probe_past", "2"}});
  EXPECT_TRUE(r.whole());
  ASSERT_TRUE(r.probes);
  EXPECT_EQ(r.probes->runs.at("again").values, (std::vector<float>{5, 6}));
  EXPECT_TRUE(r.probes->supposed.contains("window=2"));
  EXPECT_FALSE(r.routes);
  EXPECT_EQ(r.probes->one_and_two_at, -1);
}

TEST(RecordedFile, OfANewerVersionIsRefused) {
  try {
    of_three_tokens().read({{"probes", "3"}, {"probe_past", "2"}});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("probes of another version"));
  }
}

}  // namespace
}  // namespace pkv::subjects
