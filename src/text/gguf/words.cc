// The ways of cutting text into words that `tokenizer.ggml.pre` names, in the terms of the models' own tokenizer.json.
#include <algorithm>
#include <array>
#include <string>

#include "text/gguf/gguf.h"

namespace pkv::text {
namespace {

#define PKV_SPLIT(PATTERN) \
  R"({"type":"Split","pattern":{"Regex":")" PATTERN R"("},"behavior":"Isolated","invert":false},)"
#define PKV_BYTES R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})"
#define PKV_WORDS R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})"
#define PKV_DIGITS R"({"type":"Digits","individual_digits":true},)"
#define PKV_PUNCTUATION R"({"type":"Punctuation","behavior":"Contiguous"},)"

// Endings of English verbs and nouns; a word of letters; runs of signs and of white space.
#define PKV_ENDINGS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define PKV_SIGNS R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*)"
#define PKV_SPACE R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)"
#define PKV_LETTERS R"([^\\r\\n\\p{L}\\p{N}]?\\p{L}+)"

// Words that begin with capitals, or end in small letters.
#define PKV_UPPER R"([\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])"
#define PKV_LOWER R"([\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])"
#define PKV_CASES(END)                                                                                             \
  R"([^\\r\\n\\p{L}\\p{N}]?)" PKV_UPPER "*" PKV_LOWER "+" END R"(|[^\\r\\n\\p{L}\\p{N}]?)" PKV_UPPER "+" PKV_LOWER \
  "*" END "|"

// Letters that have a case, as Unicode had them in 2020: what DeepSeek LLM takes for letters.
#define PKV_CASED                                                                                                \
  "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"      \
  "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f" \
  "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"     \
  "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-"      \
  "\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"      \
  "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-" \
  "\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"  \
  "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"     \
  "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-"         \
  "\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"

constexpr std::string_view kNfc = R"({"type":"NFC"})";
constexpr std::string_view kThrees =
    PKV_SPLIT(PKV_ENDINGS "|" PKV_LETTERS R"(|\\p{N}{1,3}|)" PKV_SIGNS "|" PKV_SPACE) PKV_BYTES;
constexpr std::string_view kOnes =
    PKV_SPLIT(PKV_ENDINGS "|" PKV_LETTERS R"(|\\p{N}|)" PKV_SIGNS "|" PKV_SPACE) PKV_BYTES;

constexpr auto kWays = std::to_array<PreTokenization>({
    {.names = "gpt-2 mpt olmo jais phi-2 a.x-4.0 roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de "
              "jina-v2-code modern-bert mellum gigachat exaone4 trillion granite-docling",
     .steps = PKV_WORDS},
    {.names = "smollm starcoder refact codeshell exaone minerva-7b mellum2", .steps = PKV_DIGITS PKV_WORDS},
    {.names = "command-r", .steps = PKV_DIGITS PKV_WORDS, .normalizer = kNfc},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .steps = kThrees,
     .whole_words = true,
     .adds_bos = true},
    {.names = "dbrx smaug-bpe chatglm-bpe", .steps = kThrees},
    {.names = "glm4 glm5", .steps = kThrees, .whole_words = true},
    {.names = "qwen2 deepseek-r1-qwen megrez kormo f2llmv2", .steps = kOnes, .normalizer = kNfc},
    {.names = "stablelm2 hunyuan solar-open grok-2", .steps = kOnes},
    {.names = "qwen35",
     .steps = PKV_SPLIT(
         PKV_ENDINGS R"(|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|)" PKV_SPACE)
         PKV_BYTES,
     .normalizer = kNfc},
    {.names = "gpt-4o llama4 kanana2",
     .steps =
         PKV_SPLIT(PKV_CASES(PKV_ENDINGS "?") R"(\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)" PKV_SPACE) PKV_BYTES},
    {.names = "tekken",
     .steps = PKV_SPLIT(PKV_CASES("") R"(\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)" PKV_SPACE) PKV_BYTES,
     .whole_words = true,
     .adds_bos = true},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     .steps = PKV_SPLIT(R"(\\p{N}{1,3})") PKV_SPLIT("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+") PKV_SPLIT(
         R"([!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|)" PKV_SPACE)
         PKV_BYTES},
    {.names = "deepseek-llm",
     .steps = PKV_SPLIT(R"([\\r\\n])") PKV_SPLIT(R"(\\s?[)" PKV_CASED "]+")
         PKV_SPLIT("\\\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+") PKV_SPLIT(R"(\\s+$)")
             PKV_SPLIT("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+") PKV_SPLIT(R"(\\p{N}+)") PKV_BYTES},
    {.names = "jais-2",
     .steps = PKV_SPLIT(
         PKV_ENDINGS "|" PKV_LETTERS R"(|\\p{N}{1,3}|)" PKV_SIGNS
                     R"(|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|)"
                     R"(\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1})") PKV_BYTES},
    {.names = "tiny_aya",
     .steps = PKV_SPLIT(R"(\\d{1,3}(?=(?:\\d{3})*\\b))")
         PKV_SPLIT(PKV_CASES(PKV_ENDINGS "?") R"(\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)" PKV_SPACE) PKV_BYTES},
    {.names = "seed-coder",
     .steps = PKV_SPLIT(PKV_ENDINGS "|" PKV_LETTERS R"(|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|)" PKV_SPACE) PKV_BYTES},
    {.names = "deepseek-coder",
     .steps = PKV_SPLIT(R"([\\r\\n])") PKV_SPLIT(R"(\\s?\\p{L}+)") PKV_SPLIT(R"(\\s?\\p{P}+)")
         PKV_SPLIT("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+") PKV_DIGITS PKV_BYTES},
    {.names = "falcon default",
     .steps = PKV_PUNCTUATION PKV_WORDS
     R"(,{"type":"Digits","individual_digits":false},)"
     R"({"type":"Split","pattern":{"Regex":"[0-9][0-9][0-9]"},"behavior":"Isolated","invert":false})"},
    {.names = "bloom poro-chat gpt3-finnish",
     .steps = PKV_SPLIT(" ?[^(\\\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+") PKV_BYTES},
    {.names = "viking",
     .steps = PKV_SPLIT(" ?[^(\\\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+") PKV_DIGITS PKV_BYTES},
});

// Whether `name` is one of the words.
bool is_word_of(std::string_view words, std::string_view name) {
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

const PreTokenization* find_pre_tokenization(std::string_view name) {
  if (name.empty() || name.find(' ') != name.npos) return nullptr;
  const auto* at = std::ranges::find_if(kWays, [&](const PreTokenization& p) { return is_word_of(p.names, name); });
  return at == kWays.end() ? nullptr : at;
}

std::string known_pre_tokenizations() {
  std::string all;
  for (const PreTokenization& p : kWays) {
    for (const char c : std::string(p.names) + " ") all += c == ' ' ? std::string(", ") : std::string(1, c);
  }
  return all.substr(0, all.size() - 2);
}

}  // namespace pkv::text
