// A GGUF file as bytes. Whatever they are, the header is refused with a load error or its tensors lie within the data,
// apart from each other, and its metadata can be read as any type.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "files/gguf/container.h"

namespace {

using namespace pkv;

void check_places(const gguf::Header& header, std::uint64_t size) {
  std::vector<gguf::Info> tensors = header.tensors;
  std::ranges::sort(tensors, {}, &gguf::Info::offset);
  std::uint64_t end = 0;
  for (const gguf::Info& t : tensors) {
    if (t.bytes == 0 || t.offset < end || t.bytes > size - header.data_offset - t.offset) std::abort();
    end = t.offset + t.bytes;
  }
}

void attempt(const auto& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::load) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  attempt([&] {
    gguf::Header header = gguf::parse_header(std::as_bytes(std::span(bytes, size)), "f");
    check_places(header, size);
    const gguf::Metadata metadata(std::move(header.pairs), "f");
    for (const gguf::Pair& pair : metadata.pairs()) {
      attempt([&] { metadata.integers(pair.key, INT64_MIN, INT64_MAX); });
      attempt([&] { metadata.integer(pair.key, 0, 100); });
      attempt([&] { metadata.number(pair.key); });
      attempt([&] { metadata.numbers(pair.key); });
      attempt([&] { metadata.flag(pair.key); });
      attempt([&] { metadata.text(pair.key); });
      attempt([&] { metadata.texts(pair.key); });
    }
    if (!metadata.unread().empty()) std::abort();
  });
  return 0;
}
