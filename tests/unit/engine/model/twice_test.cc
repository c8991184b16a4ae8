// What a file may hold under several names, in several number formats, or beside its tensors: used, compared, noted or
// refused, never passed over. Golden models, whose numbers are transformers' (tests/golden), with tensors added,
// renamed and taken away.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "engine/tensor/element.h"
#include "support/models.h"

namespace pkv::model {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A golden model whose config, tensors and other entries can be changed.
class Changed final : public Source {
 public:
  explicit Changed(std::string_view name) : folder_(hf::Folder::open(support::golden_data() / name)) {
    tensors_.assign(folder_.tensors().begin(), folder_.tensors().end());
    json_ = json::parse(folder_.config().json().dump());
    sort();
  }

  Changed& config(const json& changes) {
    json_.update(changes);
    sort();
    return *this;
  }
  Changed& rename(std::string_view from, std::string_view to) {
    for (containers::Tensor& t : tensors_) {
      const std::size_t at = t.name.find(from);
      if (at != t.name.npos) t.name.replace(at, from.size(), to);
    }
    sort();
    return *this;
  }
  Changed& remove(std::string_view name) {
    std::erase_if(tensors_, [&](const containers::Tensor& t) { return t.name == name; });
    return *this;
  }
  // Another tensor with the values of one, each plus `more`, in `dtype`.
  Changed& copy(std::string_view name, std::string to, float more = 0, DType dtype = DType::f32) {
    const containers::Tensor t = at(name);
    std::vector<float> values(static_cast<std::size_t>(t.view().elements()));
    load_elements(t.data.data(), t.dtype, 0, values);
    for (float& v : values) v += more;
    return add(std::move(to), dtype, t.shape, values);
  }
  Changed& add(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values) {
    std::vector<std::byte>& bytes = kept_.emplace_back(values.size() * size_of(dtype));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      if (dtype == DType::f64) store_element(bytes.data(), place, static_cast<double>(values[i]));
      if (is_float(dtype)) store_element(bytes.data(), dtype, place, values[i]);
    }
    tensors_.push_back({std::move(name), dtype, std::move(shape), bytes, tensors_.front().file});
    sort();
    return *this;
  }
  Changed& in_f64(std::string_view part) {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const std::string name = tensors_[i].name;
      if (name.find(part) == name.npos || !is_float(tensors_[i].dtype)) continue;
      copy(name, "f64 of it", 0, DType::f64);
      remove(name);
      rename("f64 of it", name);
    }
    return *this;
  }
  Changed& entry(std::string name, std::string_view kind, std::string value) {
    others_.push_back({std::move(name), kind, std::move(value)});
    std::ranges::sort(others_, {}, &containers::Other::name);
    return *this;
  }
  const containers::Tensor& at(std::string_view name) const {
    const containers::Tensor* t = find(name);
    EXPECT_NE(t, nullptr) << name;
    return *t;
  }

  const std::filesystem::path& path() const override { return folder_.path(); }
  std::string name() const override { return "changed"; }
  const hf::Config& config() const override { return *config_; }
  const hf::Config* generation_config() const override { return nullptr; }
  std::span<const containers::Tensor> tensors() const override { return tensors_; }
  std::span<const containers::Unreadable> unreadable() const override { return {}; }
  std::span<const containers::Other> others() const override { return others_; }
  std::span<const std::string> notes() const override { return {}; }
  std::vector<hf::TokenizerPart> tokenizer() const override { return {}; }
  const containers::Tensor* find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &containers::Tensor::name);
    return found == tensors_.end() ? nullptr : &*found;
  }

 private:
  void sort() {
    std::ranges::sort(tensors_, {}, &containers::Tensor::name);
    config_ = std::make_unique<hf::Config>(hf::Config::parse(json_.dump(), "config.json"));
  }

  hf::Folder folder_;
  json json_;
  std::unique_ptr<hf::Config> config_;
  std::vector<containers::Tensor> tensors_;
  std::vector<containers::Other> others_;
  std::deque<std::vector<std::byte>> kept_;
};

struct Loaded {
  std::vector<float> logits;
  std::vector<std::string> notes;
  bool tied = false;
};

Loaded load(Changed& source, const LoadOptions& options = {}) {
  auto owned = std::make_unique<Changed>(std::move(source));
  const Inspection seen = inspect(*owned);
  const Model model = model::load(std::move(owned), kernels::Backend("naive", 1), options);
  Past past = model.new_past();
  const auto notes = model.notes();
  EXPECT_EQ(seen.card.tied, model.card().tied) << "inspect says the same";
  return {support::feed(model, past, support::random_ids(7, 9, model.card().vocab)),
          {notes.begin(), notes.end()},
          model.card().tied};
}

std::string error_of(Changed& source) {
  std::string seen;
  try {
    inspect(source);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::load) << e.what();
    seen = e.what();
  }
  try {
    load(source);
  } catch (const Error& e) {
    return e.what();
  }
  return seen.empty() ? "no error" : "an error of inspect alone: " + seen;
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b, std::string_view what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
}

struct Page {
  const char *tied, *untied, *embedding, *output;
};
constexpr std::array<Page, 7> kPages{
    {{"gpt2-plain", "gpt2-untied", "transformer.wte.weight", "lm_head.weight"},
     {"mpt-biases", "mpt-untied", "transformer.wte.weight", "lm_head.weight"},
     {"falcon-7b-shape", "falcon-untied", "transformer.word_embeddings.weight", "lm_head.weight"},
     {"roberta-encoder", "roberta-relu-untied", "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"},
     {"llama-biases-tied", "llama-grouped", "model.embed_tokens.weight", "lm_head.weight"},
     {"gemma-plain", "gemma-one-kv-head", "model.embed_tokens.weight", "lm_head.weight"},
     {"gpt-neox-sequential", "gpt-neox-parallel", "gpt_neox.embed_in.weight", "embed_out.weight"}}};

// transformers 5 compares: what the file holds is right, not what the config says.
TEST(Twice, AnotherOutputLayerInTheFileIsNotTied) {
  for (const Page& page : kPages) {
    SCOPED_TRACE(page.untied);
    Changed as_it_says(page.untied), says_tied(page.untied);
    says_tied.config({{"tie_word_embeddings", true}});
    const Loaded right = load(as_it_says), found = load(says_tied);
    expect_same(found.logits, right.logits, page.untied);
    EXPECT_FALSE(found.tied);
    EXPECT_THAT(right.notes, IsEmpty());
    ASSERT_FALSE(found.notes.empty());
    EXPECT_THAT(found.notes[0],
                AllOf(HasSubstr(fmt::format("config.json ties '{}' to '{}'", page.output, page.embedding)),
                      HasSubstr("tie_word_embeddings should be false")));
  }
}

TEST(Twice, TheSameOutputLayerStaysTiedWhateverItsNumberFormat) {
  for (const Page& page : kPages) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      SCOPED_TRACE(page.tied);
      Changed once(page.tied), twice(page.tied);
      twice.remove(page.output).copy(page.embedding, page.output, 0, dtype);
      const Loaded right = load(once), found = load(twice);
      expect_same(found.logits, right.logits, page.tied);
      EXPECT_TRUE(found.tied);
      EXPECT_EQ(found.notes, right.notes);
    }
  }
}

TEST(Twice, OneValueThatDiffersIsEnough) {
  Changed twice("gpt2-plain");
  twice.copy("transformer.wte.weight", "lm_head.weight");
  auto& last = const_cast<std::byte&>(twice.at("lm_head.weight").data.back());  // the exponent of the last value
  last ^= std::byte{1};
  EXPECT_FALSE(load(twice).tied);
}

TEST(Twice, AnotherHeightIsAnError) {
  for (const Page& page : kPages) {
    Changed source(page.tied);
    const auto width = source.at(page.embedding).shape[1];
    source.remove(page.output)
        .add(page.output, DType::f32, {3, width}, std::vector<float>(3 * static_cast<std::size_t>(width)));
    EXPECT_THAT(error_of(source), AllOf(HasSubstr(fmt::format("tensor '{}'", page.output)), HasSubstr("wrong shape"),
                                        HasSubstr(fmt::format("found:    [3, {}]", width))));
  }
}

// safetensors' save_model keeps the first name by alphabet.
TEST(Twice, OnlyTheOutputLayersNameTiesTheOtherWayRound) {
  for (const Page& page : kPages) {
    Changed usual(page.tied), other(page.tied);
    other.remove(page.output).rename(page.embedding, page.output);
    const Loaded right = load(usual), found = load(other);
    expect_same(found.logits, right.logits, page.tied);
    EXPECT_TRUE(found.tied);
    EXPECT_EQ(found.notes, right.notes);
  }
}

TEST(Twice, AMissingOutputLayerThatIsNotTiedIsAnError) {
  Changed source("gpt2-untied");
  source.remove("lm_head.weight");
  EXPECT_THAT(error_of(source), AllOf(HasSubstr("'lm_head.weight'"), HasSubstr("tie_word_embeddings in config.json")));
}

// RoBERTa's bias of the output layer has two names; the decoder's is added.
TEST(Twice, Biases) {
  const std::string own = "lm_head.bias", decoders = "lm_head.decoder.bias";
  Changed usual("roberta-encoder"), equal("roberta-encoder"), differs("roberta-encoder"), only("roberta-encoder");
  ASSERT_EQ(usual.find(decoders), nullptr);
  equal.copy(own, decoders);
  only.rename(own, decoders);
  const Loaded right = load(usual);
  Loaded found = load(equal);
  expect_same(found.logits, right.logits, "equal");
  EXPECT_EQ(found.notes, right.notes);
  found = load(only);
  expect_same(found.logits, right.logits, "the decoder's alone");
  differs.copy(own, decoders, 1);
  found = load(differs);
  EXPECT_THAT(found.notes, testing::Contains(HasSubstr("config.json ties 'lm_head.decoder.bias' to 'lm_head.bias'")));
  for (std::size_t i = 0; i < right.logits.size(); ++i) ASSERT_NEAR(found.logits[i], right.logits[i] + 1, 1e-4) << i;
  Changed height("roberta-encoder");
  height.add(decoders, DType::f32, {2}, {1, 2});
  EXPECT_THAT(error_of(height), AllOf(HasSubstr("'lm_head.decoder.bias'"), HasSubstr("wrong shape")));
}

// Of names that mean one tensor, transformers uses the first in order.
TEST(Twice, WithAndWithoutThePrefix) {
  Changed usual("gpt2-plain"), equal("gpt2-plain"), differs("gpt2-plain"), later("gpt2-plain"), doubled("gpt2-plain");
  const std::string name = "transformer.h.0.ln_1.weight";
  const Loaded right = load(usual);
  Loaded found = load(equal.copy(name, "h.0.ln_1.weight"));
  expect_same(found.logits, right.logits, "equal");
  EXPECT_EQ(found.notes, right.notes);

  found = load(differs.copy(name, "h.0.ln_1.weight", 1));
  Changed alone("gpt2-plain");
  alone.copy(name, "of its own", 1).remove(name).rename("of its own", name);
  expect_same(found.logits, load(alone).logits, "h.0 is before transformer.h.0");
  EXPECT_NE(found.logits, right.logits);
  EXPECT_THAT(found.notes, testing::Contains(AllOf(HasSubstr("tensors 'h.0.ln_1.weight' and"), HasSubstr(name))));

  found = load(later.copy("transformer.wte.weight", "wte.weight", 1));
  expect_same(found.logits, right.logits, "transformer.wte is before wte");
  EXPECT_THAT(found.notes, testing::Contains(HasSubstr("have other values: the first is used")));

  found = load(doubled.rename("transformer.", "transformer.transformer."));
  expect_same(found.logits, right.logits, "twice");
  EXPECT_THAT(found.notes, testing::Contains(HasSubstr("'transformer.' twice")));
}

TEST(Twice, NamesOfTensorFlowsDays) {
  Changed usual("roberta-encoder"), old("roberta-encoder");
  old.rename("LayerNorm.weight", "LayerNorm.gamma").rename("LayerNorm.bias", "LayerNorm.beta");
  ASSERT_NE(old.find("roberta.encoder.layer.0.attention.output.LayerNorm.beta"), nullptr);
  const Loaded right = load(usual), found = load(old);
  expect_same(found.logits, right.logits, "gamma and beta");
  EXPECT_EQ(found.notes, right.notes);
}

// fp32 weights stored in fp64 are the same numbers.
TEST(Formats, Fp64IsComputedWithAsFp32) {
  for (const Page& page : kPages) {
    for (const bool quantised : {false, true}) {
      LoadOptions options{.past_dtype = DType::f32};  // else that of the file's weights
      if (quantised) options.quantize = Quantize{.format = quant::Format::int8};
      Changed usual(page.tied), wide(page.tied);
      wide.in_f64(".");
      const Loaded right = load(usual, options), found = load(wide, options);
      expect_same(found.logits, right.logits, page.tied);
      EXPECT_THAT(found.notes, testing::Contains(HasSubstr("tensors in fp64 are computed with in fp32")));
    }
  }
  Changed large("gpt2-plain");
  large.in_f64("ln_f.bias");
  const double value = 1e39;
  std::memcpy(const_cast<std::byte*>(large.at("transformer.ln_f.bias").data.data()), &value, sizeof value);
  EXPECT_THAT(load(large).notes, testing::Contains(HasSubstr("1 values are too large for fp32 and became infinite")));
}

// What transformers 5 would do by itself, and pkv does when it is asked to.
TEST(Formats, AnotherDtypeInTheConfigIsNoted) {
  Changed source("gpt2-plain"), asked("gpt2-plain"), agrees("gpt2-plain");
  source.config({{"dtype", "float16"}});
  asked.config({{"dtype", "float16"}});
  EXPECT_THAT(
      load(source).notes,
      ElementsAre(HasSubstr("config.json says fp16, but the weights are fp32: they are computed with as they are")));
  EXPECT_THAT(load(asked, {.dtype = DType::f16}).notes, IsEmpty());
  EXPECT_THAT(load(agrees.config({{"torch_dtype", "float32"}})).notes, IsEmpty());
}

// Entries that are no tensors: known, refused, or noted.
TEST(Entries, WithinALayerTheyMayChangeItsMeaning) {
  Changed known("gpt2-plain"), none("gpt2-plain"), whole("gpt2-plain"), of_weight("gpt2-plain");
  known.entry("transformer.h.0.mlp.c_fc.scale", "a text", "2");
  EXPECT_THAT(error_of(known), AllOf(HasSubstr("entry 'transformer.h.0.mlp.c_fc.scale'"),
                                     HasSubstr("may change what its layer's tensors mean"), HasSubstr("a text: '2'")));
  of_weight.entry("transformer.wte.weight.scale", "a number", "");
  EXPECT_THAT(error_of(of_weight), HasSubstr("entry 'transformer.wte.weight.scale'"));
  none.entry("transformer.h.0.mlp.c_fc.scale", "None", "");
  EXPECT_THAT(load(none).notes, ElementsAre(HasSubstr("not used: 'transformer.h.0.mlp.c_fc.scale', None")));
  whole.entry("step", "an integer", "7").entry("a.b.c", "a text", "x");
  EXPECT_THAT(load(whole).notes, ElementsAre("entry that is no tensor is not used: 'a.b.c', a text: 'x'",
                                             "entry that is no tensor is not used: 'step', an integer: '7'"));
}

TEST(Entries, UnknownTensorsAndAdaptersAreNoted) {
  Changed source("gpt2-plain");
  source.add("transformer.h.0.attn.c_attn.lora_A.weight", DType::f32, {1}, {1})
      .add("transformer.h.0.attn.c_attn.lora_B.weight", DType::f32, {1}, {1})
      .add("v_head.weight", DType::f32, {1}, {1});
  EXPECT_THAT(load(source).notes,
              ElementsAre("tensor not used by this architecture: v_head.weight",
                          AllOf(HasSubstr("an adapter's tensors (LoRA)"), HasSubstr("(2; the first is"))));
}

// Masks and tables that programs keep beside a module's parameters have no effect, and no others of that name.
TEST(Entries, BuffersBelongToAModuleThatIsRead) {
  const std::vector<float> causal{1, 0, 1, 1}, both_ways{1, 1, 1, 1};
  Changed source("gpt2-plain");
  source.add("transformer.h.0.attn.bias", DType::f32, {1, 1, 2, 2}, causal)
      .add("transformer.h.1.attn.masked_bias", DType::f32, {1}, {-1e4F});
  EXPECT_THAT(load(source).notes, IsEmpty());
  Changed others("gpt2-plain");
  others.add("transformer.h.1.attn.bias", DType::f32, {1, 1, 2, 2}, both_ways)
      .add("transformer.h.7.attn.masked_bias", DType::f32, {1}, {-1e4F})
      .add("somewhere.attn.bias", DType::f32, {1, 1, 2, 2}, causal);
  EXPECT_THAT(load(others).notes,
              ElementsAre("tensor not used by this architecture: somewhere.attn.bias",
                          "tensor not used by this architecture: transformer.h.7.attn.masked_bias",
                          AllOf(HasSubstr("masks of attention that are stored let tokens see later ones"),
                                HasSubstr("(1; the first is transformer.h.1.attn.bias)"))));
  Changed parameter("gpt2-plain");
  parameter.add("transformer.h.0.attn.bias", DType::f32, {4}, both_ways);
  EXPECT_THAT(load(parameter).notes, ElementsAre("tensor not used by this architecture: transformer.h.0.attn.bias"));
}

// What is missing is there, under a name that says why.
TEST(Missing, SaysWhatIsThereInstead) {
  const std::string c_attn = "transformer.h.0.attn.c_attn.";
  const auto with = [&](std::string_view name) {
    Changed source("gpt2-plain");
    source.copy(c_attn + "weight", c_attn + std::string(name)).remove(c_attn + "weight");
    return error_of(source);
  };
  EXPECT_THAT(with("qweight"), AllOf(HasSubstr("quantised by GPTQ or AWQ"), HasSubstr("c_attn.qweight'")));
  EXPECT_THAT(with("base_layer.weight"), AllOf(HasSubstr("never merged"), HasSubstr("merge_and_unload()")));
  EXPECT_THAT(with("something.weight"), HasSubstr("tensor is missing"));
}

TEST(Missing, NamesThePrefix) {
  const auto with = [](std::string_view prefix) {
    Changed source("gpt2-plain");
    source.rename("transformer.", std::string(prefix) + "transformer.");
    return error_of(source);
  };
  EXPECT_THAT(with("_orig_mod."), AllOf(HasSubstr("names have '_orig_mod.' (torch.compile) in them"),
                                        HasSubstr("found:    '_orig_mod.transformer.wte.weight'"),
                                        HasSubstr("model._orig_mod.save_pretrained")));
  EXPECT_THAT(with("module."), HasSubstr("'module.' (DataParallel)"));
  EXPECT_THAT(with("_fsdp_wrapped_module."), HasSubstr("'_fsdp_wrapped_module.' (FSDP)"));
  EXPECT_THAT(with("base_model.model."), AllOf(HasSubstr("(PEFT)"), HasSubstr("merge_and_unload()")));
  EXPECT_THAT(with("policy."), HasSubstr("names have 'policy.' in them"));
  Changed inside("gpt2-plain");
  inside.rename("transformer.wte", "transformer._orig_mod.wte");
  EXPECT_THAT(error_of(inside), HasSubstr("names have '_orig_mod.' (torch.compile)"));
}

}  // namespace
}  // namespace pkv::model
