// Bytes as a tokenizer.model, or behind a first '{' as a tekken.json: read or refused with a load error. What can be
// read must encode and decode without crashing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/pipeline.h"
#include "text/sentencepiece.h"
#include "text/tekken.h"

namespace {

constexpr std::string_view kName = "file";
constexpr std::string_view kText = "Hello  w\xc3\xb6rld,\n\n it's 123 <s> \xf0\x9f\x98\x80 \xe4\xb8\xad\xcc\x81\t aab";

pkv::text::Pipeline read(std::string_view bytes) {
  if (bytes.starts_with('{')) return pkv::text::parse_tekken(bytes, kName);
  const pkv::text::SentencePieceModel model = pkv::text::read_sentencepiece(bytes, kName);
  pkv::text::Settings settings;
  pkv::text::vocabulary_of(model, kName);
  pkv::text::Pipeline p = pkv::text::make_pipeline(pkv::text::tokenizer_of(model, settings, kName), kName);
  pkv::text::close(p, kName);
  return p;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const pkv::text::Pipeline p = read(bytes);
    std::vector<std::int32_t> ids;
    pkv::text::BpeEncoder(p.bpe, kText.size()).encode(kText, ids);
    pkv::text::DecodeChain chain(p.decoder);
    for (const std::int32_t id : ids) chain.token(p.bpe.vocab.token(id).value_or("?"));
    chain.finish();
  } catch (const pkv::Error& e) {
    if (e.kind() == pkv::Error::Kind::internal) std::abort();
  }
  return 0;
}
