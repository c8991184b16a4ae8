// A pickled state dict as bytes: it is refused with a load error, or every tensor of it lies within its storage.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "files/containers/state_dict.h"

namespace {

__extension__ typedef unsigned __int128 Wide;

void check(const pkv::containers::StateDict::Entry& e) {
  if (e.shape.size() != e.stride.size() || e.shape.size() > pkv::containers::StateDict::kMaxRank) std::abort();
  Wide last = e.offset, elements = 1;
  for (std::size_t i = 0; i < e.shape.size(); ++i) {
    if (e.shape[i] < 0 || e.stride[i] < 0) std::abort();
    elements *= static_cast<std::uint64_t>(e.shape[i]);
    if (elements > UINT64_MAX) std::abort();
    if (e.shape[i] > 0) last += static_cast<Wide>(e.shape[i] - 1) * static_cast<std::uint64_t>(e.stride[i]);
  }
  if (elements != 0 && (last + 1) * e.element_size > e.storage_bytes) std::abort();
  if (elements != 0 && e.dense() && (e.offset + elements) * e.element_size > e.storage_bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    const auto state = pkv::containers::parse_state_dict({reinterpret_cast<const char*>(bytes), size}, "f");
    std::for_each(state.entries.begin(), state.entries.end(), check);
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
  return 0;
}
