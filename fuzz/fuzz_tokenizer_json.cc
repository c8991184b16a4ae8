// Bytes as a tokenizer.json: it loads or is refused with a load error. What loads must encode and decode without
// crashing, and stream what it decodes; a text that grows too long on the way is refused with an error of usage.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/text.h"

namespace {

constexpr std::string_view kText = "Hello  w\xc3\xb6rld,\n\n it's 123 <s> \xf0\x9f\x98\x80 \xe4\xb8\xad\xcc\x81\t aab";

void use(const pkv::text::Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids = tokenizer.encode(kText);
  for (std::int32_t id = -1; id < 40; ++id) ids.push_back(id);
  pkv::text::Tokenizer::Stream stream(tokenizer);
  std::string text;
  for (const std::int32_t id : ids) text += stream.push(id);
  text += stream.finish();
  if (text != tokenizer.decode(ids)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  std::optional<pkv::text::Tokenizer> tokenizer;
  try {
    tokenizer = pkv::text::Tokenizer::parse(json);
  } catch (const pkv::Error& e) {
    if (e.kind() != pkv::Error::Kind::load) std::abort();
    return 0;
  }
  try {
    use(*tokenizer);
  } catch (const pkv::Error& e) {
    if (e.kind() == pkv::Error::Kind::internal) std::abort();
  }
  return 0;
}
