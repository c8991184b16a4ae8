// A safetensors file as bytes: length, header, data. Whatever they are, the header is refused with a load error or its
// entries cover the data exactly.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "files/containers/safetensors.h"

namespace {

void check(const pkv::containers::Header& header, std::uint64_t data_size) {
  std::uint64_t next = 0;
  for (const auto& entry : header.entries) {
    if (entry.begin != next || entry.end < entry.begin) std::abort();
    next = entry.end;
  }
  if (next != data_size) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size < 8) return 0;
  // The length modulo what is there, so that the fuzzer need not guess it.
  const std::size_t length = (bytes[0] + 256u * bytes[1]) % (size - 7);
  const std::uint64_t data_size = size - 8 - length;
  try {
    check(pkv::containers::parse_header({reinterpret_cast<const char*>(bytes) + 8, length}, data_size, "f"), data_size);
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
  return 0;
}
