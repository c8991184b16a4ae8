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
