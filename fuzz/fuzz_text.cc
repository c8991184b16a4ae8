// Bytes as text for byte-level tokenizers without a normaliser: decoding what was encoded gives the text back, whole or
// in a stream; bytes that are not UTF-8 are refused.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/text.h"

namespace {

using pkv::text::Tokenizer;

std::string quoted(std::string_view token) {
  std::string s = "\"";
  for (const char c : token) {
    if (c == '"' || c == '\\') s += '\\';
    s += c;
  }
  return s + '"';
}

std::string byte_vocabulary() {
  std::string s;
  int id = 0;
  for (const auto& c : pkv::text::byte_alphabet()) {
    s += quoted(std::string_view(c.bytes, c.size)) + ":" + std::to_string(id++) + ",";
  }
  return s + R"("Ġt":256,"he":257,"Ġthe":258,"ĠĠ":259,"ĠĠĠĠ":260,"in":261,"Ã©":262,"aa":263,"aaaa":264)";
}

Tokenizer make(std::string_view pre_tokenizer) {
  return Tokenizer::parse(
      R"({"added_tokens":[{"id":265,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,
          "special":true},{"id":266,"content":"  ","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,
          "special":false}],"pre_tokenizer":)" +
      std::string(pre_tokenizer) + R"(,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{)" +
      byte_vocabulary() + R"(},"merges":["Ġ t","h e","Ġt he","Ġ Ġ","ĠĠ ĠĠ","i n",["Ã","©"],"a a","aa aa"]}})");
}

const std::array<Tokenizer, 3>& tokenizers() {
  static const std::array<Tokenizer, 3> all = {
      make(R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})"),
      make(R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":
"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})"),
      make(R"({"type":"Sequence","pretokenizers":[{"type":"Punctuation","behavior":"Contiguous"},{"type":"ByteLevel",
"add_prefix_space":false,"trim_offsets":true},{"type":"Digits","individual_digits":false},{"type":"Split","pattern":
{"Regex":"[0-9][0-9][0-9]"},"behavior":"MergedWithNext","invert":false}]})")};
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool valid = !pkv::first_invalid_utf8(text);
  for (const Tokenizer& tokenizer : tokenizers()) {
    try {
      const std::vector<std::int32_t> ids = tokenizer.encode(text);
      if (!valid || tokenizer.decode(ids) != text) std::abort();
      Tokenizer::Stream stream(tokenizer);
      std::string streamed;
      for (const std::int32_t id : ids) {
        streamed += stream.push(id);
        if (pkv::first_invalid_utf8(streamed)) std::abort();
      }
      if (streamed + stream.finish() != text) std::abort();
    } catch (const pkv::Error&) {
      if (valid) std::abort();
    }
  }
  return 0;
}
