// A GGUF file as a model: its config of metadata and shapes, its tensors under other names, its tokenizer. Whatever the
// bytes are, the file is refused with a load error, or its page finds every tensor that it needs, rows that were moved
// are each there once, and texts become ids that the tokenizer has.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/model/gguf/source.h"
#include "engine/model/model.h"
#include "text/text.h"

namespace {

using namespace pkv;

void attempt(const auto& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::load) std::abort();
  }
}

void check_rows(const model::GgufSource& source) {
  for (const containers::Tensor& t : source.tensors()) {
    const model::Arrangement* a = source.arrangement_of(t);
    if (a == nullptr || a->rows.empty()) continue;
    std::vector<std::int64_t> rows = a->rows;
    std::ranges::sort(rows);
    if (std::cmp_not_equal(rows.size(), t.shape[0])) std::abort();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (std::cmp_not_equal(rows[i], i)) std::abort();
    }
  }
}

void read_texts(const std::filesystem::path& file) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(file);
  for (const char* text : {"", "ab \xc3\xa4\xe2\x96\x81 12345 <s>|", "  a\n\nb"}) {
    const std::vector<std::int32_t> ids = tokenizer.encode(text);
    for (const std::int32_t id : ids) {
      if (!tokenizer.has(id)) std::abort();
    }
    tokenizer.decode(ids);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const int file = ::memfd_create("f.gguf", 0);
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, bytes, size, 0) != static_cast<ssize_t>(size)) return 0;
  const std::filesystem::path path = "/proc/self/fd/" + std::to_string(file);
  attempt([&] {
    const model::GgufSource source = model::GgufSource::open(path);
    check_rows(source);
    source.tokenizer();
    model::inspect(source);
  });
  if (gguf::is_gguf_file(path)) attempt([&] { read_texts(path); });
  return 0;
}
