// A PyTorch checkpoint as bytes: zip archive, pickle and storages. It is refused with a load error, or every byte of
// every tensor can be read.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "files/containers/pytorch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::uint64_t sum = 0;
  try {
    const auto read = pkv::containers::read_pytorch(std::as_bytes(std::span(bytes, size)), "f");
    for (const pkv::containers::Tensor& t : read.tensors) {
      std::uint64_t expected = pkv::size_of(t.dtype);
      for (const std::int64_t dim : t.shape) expected *= static_cast<std::uint64_t>(dim);
      if (expected != t.data.size()) std::abort();
      for (const std::byte b : t.data) sum += static_cast<std::uint64_t>(b);
    }
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
  return sum == UINT64_MAX ? -1 : 0;  // so that the reads are not left out
}
