// A saved past as bytes. Whatever they are, the file is refused with a load error, or what was read of it agrees with
// itself and all of its blocks can be read.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/model/past_file.h"

namespace {

using pkv::model::SavedPast;

void check(const SavedPast& saved) {
  const auto tokens = saved.ids.size(), blocks = saved.block_count();
  if (tokens == 0 || blocks != (tokens + 63) / 64) std::abort();
  if (saved.states.empty() != saved.snapshots.empty() || saved.state_data.empty() != saved.snapshots.empty())
    std::abort();
  for (std::size_t i = 0; i < saved.snapshots.size(); ++i) {
    if (saved.snapshots[i] <= (i > 0 ? saved.snapshots[i - 1] : 0) || saved.snapshots[i] > std::ssize(saved.ids))
      std::abort();
  }
  if (saved.blocks.size() != blocks * saved.shape.block_bytes()) std::abort();
  for (const std::int32_t id : saved.ids) {
    if (id < 0) std::abort();
  }
  static const pkv::kernels::Backend backend("naive", 1);
  // The shape of a saved past says nothing of states: a model's does.
  const auto past =
      pkv::model::Past::borrow(backend, saved.shape, saved.ids,
                               {.blocks = saved.blocks, .held_from = saved.held_from, .states = {}, .snapshots = {}},
                               saved.file.get("blocks").file);
  std::vector<std::byte> block(saved.shape.block_bytes());
  for (std::size_t i = 0; i < blocks; ++i) past.download(i, block);
}

void attempt(const auto& body) {
  try {
    body();
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const int file = memfd_create("past", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (ftruncate(file, 0) != 0 || pwrite(file, bytes, size, 0) != static_cast<ssize_t>(size)) std::abort();
  attempt(
      [] { check(pkv::model::read_past(pkv::containers::SafeTensors::open(path))); });  // whatever the checksum says
  attempt([] {
    const SavedPast saved = pkv::model::open_past(path);
    pkv::model::verify_blocks(saved, std::ssize(saved.ids), 1);
  });
  return 0;
}
