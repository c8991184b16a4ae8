#include "files/hf/config.h"

#include <fmt/format.h>

#include <limits>
#include <thread>

#include "base/json.h"
#include "files/hf/common_keys.h"
#include "unit/files/support.h"

namespace pkv::hf {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Config parsed(std::string_view text) { return Config::parse(text, "c.json"); }

std::string refused(std::string_view text, const auto& read) {
  return error_of([&] { read(parsed(text)); });
}

std::string refused(std::string_view text) {
  return error_of([&] { parsed(text); });
}

TEST(Config, ReadsEachKind) {
  const Config c = parsed(R"({"i": 12, "n": 1e-5, "f": true, "t": "gelu", "is": [1, 2], "ts": ["a", "b"]})");
  EXPECT_EQ(c.integer({"i"}, 1, 12), 12);
  EXPECT_EQ(c.number({"n"}), 1e-5);
  EXPECT_EQ(c.number({"i"}), 12.0);
  EXPECT_TRUE(c.flag({"f"}));
  EXPECT_EQ(c.text({"t"}), "gelu");
  EXPECT_THAT(c.integers({"is"}, 0, 9), ElementsAre(1, 2));
  EXPECT_THAT(c.integers({"i"}, 0, 99), ElementsAre(12));
  EXPECT_THAT(c.texts({"ts"}), ElementsAre("a", "b"));
  EXPECT_EQ(*c.value({"i"}), Json(12));
  EXPECT_THAT(c.unread(), IsEmpty());
}

// transformers gives an absent key its class's default and a null one None: 4096 and no window for Mistral.
TEST(Config, TellsAbsentFromNull) {
  const Config absent = parsed("{}"), null = parsed(R"({"window": null})"), given = parsed(R"({"window": 7})");
  const auto window = [](const Config& c) { return c.integer_or_none({"window"}, 1, kMost, 4096); };
  EXPECT_EQ(window(absent), 4096);
  EXPECT_EQ(window(null), std::nullopt);
  EXPECT_EQ(window(given), 7);
  EXPECT_FALSE(absent.is_null("window"));
  EXPECT_TRUE(null.is_null("window"));
  EXPECT_FALSE(given.is_null("window"));
  EXPECT_THAT(null.unread(), IsEmpty());
}

TEST(Config, AbsentGivesTheDefaultOfEachKind) {
  const Config c = parsed("{}");
  EXPECT_EQ(c.integer_or({"a"}, 7, 0, 9), 7);
  EXPECT_EQ(c.number_or({"a"}, 0.5), 0.5);
  EXPECT_TRUE(c.flag_or({"a"}, true));
  EXPECT_EQ(c.text_or({"a"}, "silu"), "silu");
  EXPECT_EQ(c.integer_or_none({"a"}, 0, 9), std::nullopt);
  EXPECT_EQ(c.number_or_none({"a"}, 0.5), 0.5);
  EXPECT_EQ(c.flag_or_none({"a"}, true), true);
  EXPECT_EQ(c.text_or_none({"a"}, "silu"), "silu");
}

// A page that gives no meaning to null must not take the default of an absent key for it.
TEST(Config, NullIsRefusedWhereItHasNoMeaning) {
  const std::string_view text = R"({"a": null})";
  EXPECT_THAT(refused(text, [](const Config& c) { c.integer_or({"a"}, 7, 0, 9); }),
              AllOf(HasSubstr("c.json: a: has the wrong value"), HasSubstr("an integer from 0 to 9"),
                    HasSubstr("found:    null")));
  EXPECT_THAT(refused(text, [](const Config& c) { c.number_or({"a"}, 1); }), HasSubstr("found:    null"));
  EXPECT_THAT(refused(text, [](const Config& c) { c.flag_or({"a"}, true); }), HasSubstr("found:    null"));
  EXPECT_THAT(refused(text, [](const Config& c) { c.text_or({"a"}, "x"); }), HasSubstr("found:    null"));
}

TEST(Config, NullIsNothingWhereItHasAMeaning) {
  const Config c = parsed(R"({"a": null})");
  EXPECT_EQ(c.integer_or_none({"a"}, 0, 9, 7), std::nullopt);
  EXPECT_EQ(c.number_or_none({"a"}, 0.5), std::nullopt);
  EXPECT_EQ(c.flag_or_none({"a"}, true), std::nullopt);
  EXPECT_EQ(c.text_or_none({"a"}, "silu"), std::nullopt);
  for (const std::string_view name : {"a", "absent"}) {
    EXPECT_THAT(c.integers({name}, 0, 9), IsEmpty());
    EXPECT_THAT(c.texts({name}), IsEmpty());
    EXPECT_EQ(c.value({name}), nullptr);
    EXPECT_FALSE(c.has(name));
    EXPECT_TRUE(c.child(name).json().empty());
  }
}

TEST(Config, OtherNamesAreAskedWhereOneIsNull) {
  const Config c = parsed(R"({"a": null, "b": 3})");
  EXPECT_EQ(c.integer_or({"a", "b"}, 7, 0, 9), 3);
  EXPECT_EQ(c.integer_or_none({"b", "a"}, 0, 9), 3);
}

TEST(Config, IsReadByThreadsAtOnce) {
  std::string text = R"({"child": {"x": 1, "rest": 2})";
  for (int i = 0; i < 50; ++i) text += fmt::format(R"(, "k{}": {})", i, i);
  const Config c = parsed(text + "}");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&c] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(c.integer({fmt::format("k{}", i)}, 0, 99), i);
        EXPECT_EQ(c.child("child").integer({"x"}, 0, 9), 1);
        c.unread();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(c.unread(), ElementsAre("child.rest: 2"));
}

TEST(Config, RequiredKeysAreMissedByName) {
  const auto read = [](const Config& c) { c.integer({"n_embd", "hidden_size"}, 1, kMost); };
  for (const std::string_view text : {"{}", R"({"n_embd": null})"}) {
    EXPECT_THAT(refused(text, read), AllOf(HasSubstr("c.json: n_embd (or hidden_size): is missing"),
                                           HasSubstr("expected: an integer of at least 1")));
  }
  EXPECT_THAT(refused("{}", [](const Config& c) { c.number({"eps"}); }), HasSubstr("expected: a finite number"));
  EXPECT_THAT(refused("{}", [](const Config& c) { c.flag({"b"}); }), HasSubstr("expected: true or false"));
  EXPECT_THAT(refused("{}", [](const Config& c) { c.text({"act"}); }), HasSubstr("expected: a text"));
}

TEST(Config, NamesOfOneValueMustAgree) {
  const Config same = parsed(R"({"n_embd": 96, "hidden_size": 96, "other": null})");
  EXPECT_EQ(same.integer({"other", "hidden_size", "n_embd"}, 1, 999), 96);
  EXPECT_THAT(same.unread(), IsEmpty());

  EXPECT_THAT(refused(R"({"n_embd": 96, "hidden_size": 64})",
                      [](const Config& c) {
                        c.integer({"n_embd", "hidden_size"}, 1, 999);
                      }),
              AllOf(HasSubstr("c.json: n_embd: two names of one value disagree"),
                    HasSubstr("the value of hidden_size: 64"), HasSubstr("found:    96")));
}

TEST(Config, AnIntegerIsAJsonIntegerInItsRange) {
  const auto read = [](const Config& c) { c.integer({"a"}, 1, 100); };
  for (const std::string_view bad : {"12.0", "1e1", "\"12\"", "true", "[12]", "{}", "0", "101", "-1",
                                     "18446744073709551615", "9223372036854775808", "1e300"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(refused(fmt::format(R"({{"a": {}}})", bad), read),
                AllOf(HasSubstr("c.json: a: has the wrong value"), HasSubstr("an integer from 1 to 100")));
  }
  EXPECT_THAT(refused(R"({"a": 12.0})", read), AllOf(HasSubstr("found:    12.0"), HasSubstr("without a fraction")));
  EXPECT_EQ(parsed(R"({"a": -5})").integer_or({"a"}, 0, -9, 9), -5);
  EXPECT_EQ(parsed(R"({"a": 9223372036854775807})").integer({"a"}, 1, kMost), kMost);
  // Which as a signed number would be -1.
  EXPECT_THAT(refused(R"({"a": 18446744073709551615})", [](const Config& c) { c.integer({"a"}, -9, 9); }),
              HasSubstr("found:    18446744073709551615"));
  EXPECT_THAT(refused(R"({"a": [1, 1000]})", [](const Config& c) { c.integers({"a"}, 1, 100); }),
              HasSubstr("found:    1000"));
}

TEST(Config, NumbersFlagsAndTextsAreOfTheirType) {
  const auto number = [](const Config& c) { c.number_or({"a"}, 1); };
  for (const std::string_view bad : {"\"1\"", "true", "[]", R"({"__float__": "Infinity"})"}) {
    EXPECT_THAT(refused(fmt::format(R"({{"a": {}}})", bad), number), HasSubstr("expected: a finite number")) << bad;
  }
  const Config infinite(Json::Object{{"a", std::numeric_limits<double>::infinity()}}, "c.json");
  EXPECT_THAT(error_of([&] { number(infinite); }), HasSubstr("expected: a finite number"));
  const auto flag = [](const Config& c) { c.flag_or({"a"}, true); };
  for (const std::string_view bad : {"0", "1", "\"true\"", "[]"}) {
    EXPECT_THAT(refused(fmt::format(R"({{"a": {}}})", bad), flag), HasSubstr("expected: true or false")) << bad;
  }
  const auto text = [](const Config& c) { c.text_or({"a"}, ""); };
  for (const std::string_view bad : {"0", "false", "[\"a\"]"}) {
    EXPECT_THAT(refused(fmt::format(R"({{"a": {}}})", bad), text), HasSubstr("expected: a text")) << bad;
  }
  EXPECT_THAT(refused(R"({"a": "x"})", [](const Config& c) { c.texts({"a"}); }), HasSubstr("an array of texts"));
  EXPECT_THAT(refused(R"({"a": [1]})", [](const Config& c) { c.texts({"a"}); }), HasSubstr("expected: a text"));
}

TEST(Config, NestedObjectsKeepTheirOwnAccount) {
  const Config c = parsed(R"({"attn_config": {"alibi": true, "qk_ln": false, "deep": {"x": 1}}, "other": {"y": 2}})");
  EXPECT_TRUE(c.child("attn_config").flag({"alibi"}));
  EXPECT_EQ(&c.child("attn_config"), &c.child("attn_config"));
  c.child("attn_config").child("deep");
  EXPECT_THAT(c.unread(), ElementsAre("attn_config.deep.x: 1", "attn_config.qk_ln: false", R"(other: {"y":2})"));
  EXPECT_THAT(error_of([&] { c.child("attn_config").integer({"alibi"}, 0, 1); }),
              HasSubstr("c.json: attn_config.alibi: has the wrong value"));
  EXPECT_THAT(error_of([&] { c.child("attn_config").child("deep").text({"z"}); }),
              HasSubstr("attn_config.deep.z: is missing"));
  EXPECT_THAT(
      refused(R"({"attn_config": 3})", [](const Config& k) { k.child("attn_config"); }),
      AllOf(HasSubstr("c.json: attn_config: has the wrong value"), HasSubstr("an object"), HasSubstr("found:    3")));
}

TEST(Config, UnreadKeysAreListedShortly) {
  const Config c = parsed(
      fmt::format(R"({{"long": "{}", "z\u001b": null, "a": [1, {{"b": "é"}}], "seen": 1}})", std::string(1000, 'x')));
  c.without_effect({"seen", "never_there"});
  EXPECT_FALSE(c.has("z\x1b"));
  EXPECT_TRUE(c.has("a"));
  EXPECT_THAT(c.unread(),
              ElementsAre(R"(a: [1,{"b":"\u00e9"}])", "long: \"" + std::string(59, 'x') + "...", R"(z\u001b: null)"));
}

TEST(Config, UnsupportedValuesAreNamed) {
  EXPECT_THAT(refused(R"({"alibi": true})", [](const Config& c) { c.unsupported("alibi", "false"); }),
              AllOf(HasSubstr("c.json: alibi: is not supported by pkv"), HasSubstr("expected: false"),
                    HasSubstr("found:    true")));
}

TEST(ConfigFile, IsJsonInUtf8) {
  EXPECT_THAT(refused(""), AllOf(HasSubstr("c.json: byte 0: is not valid JSON"), HasSubstr("unexpected end of input")));
  EXPECT_THAT(refused("{\"a\": 1,}"), HasSubstr("c.json: byte 8: is not valid JSON\n  found:    syntax error"));
  EXPECT_THAT(refused("{\"a\": \"\xff\"}"), AllOf(HasSubstr("c.json: byte 7"), HasSubstr("UTF-8")));
  EXPECT_THAT(refused("{\"a\": 1} // why"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refused(std::string("{}\0{", 4)), AllOf(HasSubstr("c.json: byte 2"), HasSubstr("a NUL byte")));
  EXPECT_THAT(refused("[1]"),
              AllOf(HasSubstr("c.json: has the wrong value"), HasSubstr("an object"), HasSubstr("found:    [1]")));
  EXPECT_THAT(refused("3"), HasSubstr("expected: an object"));
  EXPECT_EQ(parsed("\xef\xbb\xbf{\"a\": 1}").integer({"a"}, 1, 1), 1);
}

TEST(ConfigFile, NaNAndInfinityAreRefusedWithTheirReason) {
  for (const std::string_view bad : {"NaN", "Infinity", "-Infinity"}) {
    EXPECT_THAT(refused(fmt::format(R"({{"a": {}}})", bad)),
                AllOf(HasSubstr("c.json: byte "), HasSubstr("no NaN and no Infinity")))
        << bad;
  }
  EXPECT_THAT(refused(R"({"a": 1e999})"), HasSubstr("number overflow"));
  EXPECT_THAT(refused(R"({"a": x})"), Not(HasSubstr("NaN")));
}

TEST(ConfigFile, NoKeyTwice) {
  EXPECT_THAT(refused(R"({"n_head": 12, "n_head": 12})"), HasSubstr("c.json: n_head: key appears twice"));
  EXPECT_THAT(refused(R"({"a": [{"b": 1, "b": 2}]})"), HasSubstr("c.json: a[0].b: key appears twice"));
  EXPECT_EQ(parsed(R"({"a": {"x": 1}, "b": {"x": 1}})").json().size(), 2u);
}

TEST(ConfigFile, DepthIsLimited) {
  const auto nested = [](int depth) {
    return R"({"a": )" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(parsed(nested(64)).json().size(), 1u);
  EXPECT_THAT(refused(nested(65)), AllOf(HasSubstr("c.json: JSON is nested too deep"), HasSubstr("at most 64 levels")));
  EXPECT_THAT(refused(std::string(1'000'000, '[')), HasSubstr("nested too deep"));
}

class ConfigOnDisk : public InFolder {};

TEST_F(ConfigOnDisk, IsAtMostAMebibyte) {
  put(folder_ / "config.json", "{}" + std::string(Config::kMaxFile - 2, ' '));
  EXPECT_TRUE(Config::open(folder_ / "config.json").json().empty());
  put(folder_ / "config.json", "{}" + std::string(Config::kMaxFile - 1, ' '));
  EXPECT_THAT(error_of([&] { Config::open(folder_ / "config.json"); }),
              AllOf(HasSubstr("config.json: file is too large"), HasSubstr("at most 1048576 bytes")));
}

TEST_F(ConfigOnDisk, CutOrFlippedItIsAnErrorOrAConfig) {
  const std::string whole = R"({"a": [1, 2.5e-3, null, true, {"b\u00e9": "x"}], "c": -7})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(refused(whole.substr(0, size)), HasSubstr("c.json")) << size;
  }
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    refused(flipped, [](const Config& c) { c.unread(); });
  }
}

TEST(CommonKeys, AreKnownOnce) {
  std::set<std::string_view> seen;
  for (const CommonKey& row : common_keys()) {
    EXPECT_TRUE(seen.insert(row.key).second) << row.key;
    EXPECT_FALSE(row.what.empty()) << row.key;
  }
}

TEST(CommonKeys, AnyConfigMayHaveThem) {
  std::string text = "{";
  for (const CommonKey& row : common_keys()) {
    constexpr std::array<std::string_view, 5> kFine{R"({"any": [1]})", "false", "true", "{}", "null"};
    text += fmt::format("\"{}\": {},", row.key, kFine[static_cast<std::size_t>(row.accept)]);
  }
  const Config c = parsed(text + R"("n_embd": 96, "model_type": "gpt2", "eos_token_id": 5})");
  accept_common_keys(c);
  EXPECT_THAT(c.unread(), ElementsAre("eos_token_id: 5", "model_type: \"gpt2\"", "n_embd: 96"));
}

TEST(CommonKeys, SomeValuesWouldChangeTheLogits) {
  const auto accept = [](const Config& c) { accept_common_keys(c); };
  const auto refused_value = [&](std::string_view key, std::string_view value) {
    return refused(fmt::format(R"({{"{}": {}}})", key, value), accept);
  };
  EXPECT_THAT(refused_value("is_encoder_decoder", "true"),
              AllOf(HasSubstr("c.json: is_encoder_decoder: is not supported by pkv"), HasSubstr("found:    true"),
                    HasSubstr("false, or nothing")));
  EXPECT_THAT(refused_value("is_encoder_decoder", "1"), HasSubstr("is not supported"));
  EXPECT_THAT(refused_value("add_cross_attention", "true"), HasSubstr("add_cross_attention"));
  EXPECT_THAT(refused_value("cross_attention_hidden_size", "64"), HasSubstr("cross_attention_hidden_size"));
  EXPECT_THAT(refused_value("pruned_heads", R"({"0": [1]})"), HasSubstr("pruned_heads"));
  EXPECT_THAT(refused_value("per_layer_config", R"({"0": {"n_head": 1}})"), HasSubstr("per_layer_config"));
  EXPECT_THAT(refused_value("configuration_files", R"(["config.4.0.0.json"])"), HasSubstr("configuration_files"));
  EXPECT_THAT(refused_value("quantization", R"({"bits": 4})"), HasSubstr("MLX"));
  EXPECT_THAT(refused_value("compression_config", "{}"), HasSubstr("compressed weights"));
  EXPECT_THAT(refused_value("sparsity_config", "{}"), HasSubstr("sparse weights"));

  EXPECT_EQ(refused(R"({"is_encoder_decoder": false, "pruned_heads": {}})", accept), "no error");
}

}  // namespace
}  // namespace pkv::hf
