// A PyTorch checkpoint as bytes: zip archive, pickle and storages. It is refused with a load error, or every byte of
// every tensor can be read.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "hf/pytorch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static volatile unsigned sink;
  try {
    const auto read = pkv::hf::read_pytorch(std::as_bytes(std::span(bytes, size)), "f");
    for (const pkv::hf::Tensor& t : read.tensors) {
      std::uint64_t expected = pkv::size_of(t.dtype);
      for (const std::int64_t dim : t.shape) expected *= static_cast<std::uint64_t>(dim);
      if (expected != t.data.size()) std::abort();
      unsigned sum = 0;
      for (const std::byte b : t.data) sum += static_cast<unsigned>(b);
      sink = sum;
    }
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
  return 0;
}
