// A model that was quantised while loading, written down and loaded again, is the same model: every bit of its logits
// and of its codes. What is written has the form that bitsandbytes gives it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <regex>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/model/write_checkpoint.h"
#include "support/models.h"
#include "support/shell.h"

namespace pkv {
namespace {

namespace fs = std::filesystem;
using model::Quantize;
using quant::Format;
using testing::AllOf;
using testing::HasSubstr;

std::vector<float> logits_of(const model::Model& m) {
  model::Past past = m.new_past();
  return support::feed(m, past, support::random_ids(3, 40, m.card().vocab));
}

model::Model quantised(const fs::path& folder, const Quantize& how, std::optional<DType> dtype = {}) {
  return support::load(folder, "cpu", 2, {.dtype = dtype, .quantize = how});
}

std::string error_of(const auto& body, Error::Kind kind = Error::Kind::usage) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "no error";
}

class Written : public testing::Test {
 protected:
  fs::path place(const std::string& name = "written") const { return folder_.path() / name; }
  fs::path source(const std::string& name) const { return support::source() / "models" / name; }

  support::TemporaryFolder folder_;
};

const std::map<std::string, Quantize> kWays{
    {"int8", {.format = Format::int8}},
    {"fp4", {.format = Format::fp4}},
    {"nf4", {.format = Format::nf4}},
    {"nf4 double", {.format = Format::nf4, .nested = true}},
    {"fp4 double, blocks of 128", {.format = Format::fp4, .block = 128, .nested = true}},
    {"nf4 but for some", {.format = Format::nf4, .skip = {"0", "lm_head.dense"}}},
};

TEST_F(Written, LoadedAgainItIsTheSameModel) {
  for (const fs::path& from : support::model_folders(support::source() / "models")) {
    for (const auto& [name, how] : kWays) {
      const std::string what = from.filename().string() + " " + name;
      const model::Model made = quantised(from, how);
      model::write_checkpoint(made, place(what));
      const model::Model again = support::load(place(what), "cpu");
      for (const std::string& note : again.notes()) {  // tiny-qwen3 has rows of 144 elements
        EXPECT_THAT(note, testing::HasSubstr("are no whole number of 32")) << what;
      }
      EXPECT_EQ(again.weights().bytes, made.weights().bytes) << what;
      EXPECT_EQ(again.weights().parameters, made.weights().parameters) << what;
      EXPECT_EQ(again.weights().quantized, how.format) << what;
      EXPECT_EQ(again.weights().block, made.weights().block) << what;
      EXPECT_EQ(again.weights().nested, how.nested) << what;
      EXPECT_EQ(again.weights().plain, made.weights().plain) << what;
      EXPECT_EQ(logits_of(again), logits_of(made)) << what;
    }
  }
}

TEST_F(Written, CodesAreThoseOfTheModelInEveryStorage) {
  const model::Model made = quantised(source("tiny-mpt"), {.format = Format::nf4, .nested = true});
  for (const DType storage : {DType::u8, DType::f16, DType::bf16, DType::f32}) {
    const fs::path to = place(std::string(name_of(storage)));
    model::write_checkpoint(made, to, {.storage = storage});
    const hf::Folder found = hf::Folder::open(to);
    for (const model::QuantizedMatrix& q : made.quantized()) {
      const containers::Tensor* codes = found.find(q.name);
      ASSERT_NE(codes, nullptr) << q.name;
      EXPECT_EQ(codes->dtype, storage);
      EXPECT_EQ(codes->shape.size(), 2u);
      ASSERT_EQ(codes->data.size(), q.matrix.code_bytes());
      EXPECT_EQ(std::memcmp(codes->data.data(), q.matrix.codes.data, codes->data.size()), 0) << q.name;
    }
    EXPECT_EQ(logits_of(support::load(to, "cpu")), logits_of(made)) << name_of(storage);
  }
}

// The offset is written as a double's shortest text, and read back to the very float.
TEST_F(Written, NestedScalesAreThoseOfTheModel) {
  const model::Model made = quantised(source("tiny-gpt2"), {.format = Format::fp4, .nested = true});
  model::write_checkpoint(made, place());
  const hf::Folder found = hf::Folder::open(place());
  for (const model::QuantizedMatrix& q : made.quantized()) {
    const containers::Tensor& state = *found.find(q.name + ".quant_state.bitsandbytes__fp4");
    const auto c = hf::Config::parse({reinterpret_cast<const char*>(state.data.data()), state.data.size()}, "state");
    EXPECT_EQ(static_cast<float>(c.number({"nested_offset"})), q.nested->offset);
    const containers::Tensor& absmax = *found.find(q.name + ".absmax");
    ASSERT_EQ(absmax.data.size(), q.nested->codes.size());
    EXPECT_EQ(std::memcmp(absmax.data.data(), q.nested->codes.data(), absmax.data.size()), 0) << q.name;
  }
}

// What a tensor is, without its numbers and sizes: for quant_state, its text with every number as 0.
std::map<std::string, std::string> forms(const fs::path& folder, const std::string& prefix) {
  std::map<std::string, std::string> all;
  const hf::Folder opened = hf::Folder::open(folder);
  for (const containers::Tensor& t : opened.tensors()) {
    if (!t.name.starts_with(prefix)) continue;
    std::string form = fmt::format("{} of rank {}", safetensors_name(t.dtype), t.shape.size());
    const std::string_view text(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    if (t.name.ends_with("quant_map")) form += " " + std::to_string(std::hash<std::string_view>()(text));
    if (t.name.find("quant_state") != t.name.npos) {
      const std::string state(text);
      std::string bare;  // formats and dtypes have digits, too
      std::regex_replace(std::back_inserter(bare), state.begin(), state.end(), std::regex(R"(([ \[])\d[\d.e-]*)"),
                         "$010");
      form += bare;
    }
    all[t.name] = form;
  }
  return all;
}

TEST_F(Written, TheFormIsBitsandbytes) {
  const fs::path theirs = support::source() / "tests/golden/quant/models";
  const std::vector<std::pair<std::string, Quantize>> same{{"gpt2-nf4", {.format = Format::nf4}},
                                                           {"gpt2-nf4-nested", {.format = Format::nf4, .nested = true}},
                                                           {"gpt2-int8", {.format = Format::int8}}};
  for (const auto& [golden, how] : same) {
    model::write_checkpoint(quantised(source("tiny-gpt2"), how), place(golden));
    EXPECT_EQ(forms(place(golden), "transformer.h.0."), forms(theirs / golden, "transformer.h.0.")) << golden;
    Json ours = hf::Config::open(place(golden) / "config.json").json();
    const Json expected = hf::Config::open(theirs / golden / "config.json").json();
    EXPECT_EQ(*ours.find("quantization_config"), *expected.find("quantization_config")) << golden;
    ours.members().erase("quantization_config");
    EXPECT_EQ(ours, hf::Config::open(source("tiny-gpt2") / "config.json").json());
  }
  model::write_checkpoint(quantised(source("tiny-roberta"), {.format = Format::fp4, .nested = true}), place("roberta"));
  const std::string layer = "roberta.encoder.layer.0.";
  EXPECT_EQ(forms(place("roberta"), layer), forms(theirs / "roberta-fp4-nested", layer));
}

TEST_F(Written, ConvertedEverythingHasTheDtype) {
  const model::Model made = quantised(source("tiny-gpt2"), {.format = Format::nf4}, DType::f16);
  model::write_checkpoint(made, place(), {.dtype = DType::f16});
  const hf::Folder found = hf::Folder::open(place());
  EXPECT_EQ(found.config().text({"dtype"}), "float16");
  EXPECT_EQ(found.config().child("quantization_config").text({"bnb_4bit_compute_dtype"}), "float16");
  for (const containers::Tensor& t : found.tensors()) {
    if (t.name.ends_with(".absmax") || t.name.ends_with("quant_map") || t.dtype == DType::u8) continue;
    EXPECT_EQ(t.dtype, DType::f16) << t.name;
  }
  const model::Model again = support::load(place(), "cpu");
  EXPECT_EQ(again.weights().dtype, DType::f16);
  EXPECT_EQ(again.weights().bytes, made.weights().bytes);
  EXPECT_EQ(again.quantized().size(), 0u);
}

TEST_F(Written, InShards) {
  const model::Model made = quantised(source("tiny-falcon"), {.format = Format::nf4});
  std::int64_t done = 0, whole = 0;
  const auto progress = [&](std::int64_t d, std::int64_t t) {
    EXPECT_GE(d, done);
    done = d, whole = t;
  };
  const auto w = model::write_checkpoint(made, place(), {.max_shard = 100'000, .progress = progress});
  EXPECT_GT(w.files.size(), 3u);
  EXPECT_EQ(done, whole);
  EXPECT_EQ(whole, static_cast<std::int64_t>(w.bytes));
  EXPECT_TRUE(fs::exists(place() / "model.safetensors.index.json"));
  const hf::Folder found = hf::Folder::open(place());
  EXPECT_EQ(found.files().size(), w.files.size());
  EXPECT_EQ(found.notes().size(), 0u);
  EXPECT_EQ(logits_of(support::load(place(), "cpu")), logits_of(made));
}

TEST_F(Written, Refused) {
  const model::Model plain = support::load(source("tiny-gpt2"), "cpu");
  EXPECT_THAT(error_of([&] { model::write_checkpoint(plain, place()); }), HasSubstr("no matrix was quantised"));
  const model::Model none = quantised(source("tiny-gpt2"), {.format = Format::nf4, .skip = {"h"}});
  EXPECT_THAT(error_of([&] { model::write_checkpoint(none, place()); }), HasSubstr("all of them skipped"));
  const model::Model made = quantised(source("tiny-gpt2"), {.format = Format::nf4});
  model::write_checkpoint(made, place());
  EXPECT_THAT(error_of([&] { model::write_checkpoint(made, place()); }), HasSubstr("something here already"));
  const model::Model again = support::load(place(), "cpu");
  EXPECT_THAT(error_of([&] { model::write_checkpoint(again, place("again")); }),
              AllOf(HasSubstr("the weights are quantised already"), HasSubstr("found:    nf4")));
  EXPECT_FALSE(fs::exists(place("again")));
}

// A progress callback that throws ends the writing, and nothing is left behind.
TEST_F(Written, Interrupted) {
  const model::Model made = quantised(source("tiny-gpt2"), {.format = Format::int8});
  const auto stop = [](std::int64_t done, std::int64_t) {
    if (done > 100'000) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(model::write_checkpoint(made, place(), {.progress = stop}), std::runtime_error);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace pkv
