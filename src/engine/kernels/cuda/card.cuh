// What the sources of this table share: the GPU as a Device (its stream, its memory, its failures), and the launch of a
// kernel. Included by sources that nvcc compiles only.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/kernels/kernels.h"

namespace pkv::kernels::cuda {

// Memory of the GPU in pieces of slabs, since asking the driver waits for all that is under way. A piece may be given
// back while kernels use it: who gets it next is behind them in the one stream.
class Slabs {
 public:
  Slabs() = default;
  ~Slabs();
  Slabs(const Slabs&) = delete;
  Slabs& operator=(const Slabs&) = delete;

  void* take(std::size_t bytes) noexcept;  // null when there is no memory left
  void give(void* memory) noexcept;
  std::size_t spare() const noexcept;  // bytes of slabs and pieces that nobody has

 private:
  struct Piece {
    std::size_t bytes = 0;
    bool free = false, first = false;  // first of its slab
  };
  using Pieces = std::map<std::byte*, Piece>;

  void* ask(std::size_t bytes) noexcept;  // the driver; gives spare memory back and tries again
  void set_free(Pieces::iterator piece, bool free);
  void trim();

  mutable std::mutex mutex_;
  Pieces pieces_;
  std::set<std::pair<std::size_t, std::byte*>> free_;
  std::map<void*, std::size_t> large_;  // in use
  std::multimap<std::size_t, void*> large_free_;
};

// Memory of the host through which everything comes and goes, since copies of it run at the full rate and need not be
// waited for.
class Stage {
 public:
  static constexpr std::size_t kChunk = std::size_t{4} << 20;

  explicit Stage(cudaStream_t stream);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // At most kChunk bytes, good until `sent`, and as long as the copy that was asked for between runs.
  std::byte* room(std::size_t bytes) noexcept;

 private:
  static constexpr std::size_t kChunks = 4;

  cudaStream_t stream_;
  std::byte* memory_ = nullptr;
  std::array<cudaEvent_t, kChunks> done_{};
  std::size_t chunk_ = 0, used_ = 0;
};

class Card : public Device {
 public:
  explicit Card(int index);
  ~Card() override;
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  std::string describe() const override { return name_; }
  std::string memory_left() const override;

  // The stream that the calling thread's operations go to: that of a recording while it records.
  cudaStream_t stream() noexcept;
  // Keeps the first failure for `wait`.
  bool note(cudaError_t error, const char* what) noexcept;
  void fail(std::string what) noexcept;
  std::string wait() noexcept;

  void upload(void* to, const void* from, std::size_t bytes) noexcept;
  void download(void* to, const void* from, std::size_t bytes) noexcept;
  void copy(void* to, const void* from, std::size_t bytes) noexcept;
  Batch begin(std::span<const Sequence> sequences, void* memory) noexcept;
  void run(const Key& key, const std::function<void()>& body);

  // Held by an operation of several kernels while it asks for them, so that those of another thread's operation do not
  // come between: they use the same scratch memory.
  std::unique_lock<std::mutex> turn() { return std::unique_lock(turn_); }
  // Memory for what one operation keeps between its kernels. The next operation may use it as it likes.
  void* scratch(std::size_t bytes) noexcept;

  int multiprocessors() const { return multiprocessors_; }
  Slabs slabs;

 private:
  struct Recording {
    int seen = 0;
    bool refused = false;  // it could not be recorded
    std::uint64_t used = 0;
    cudaGraphExec_t graph = nullptr;
  };

  void enter() noexcept;
  void record(Recording& recording, const std::function<void()>& body);
  void forget_oldest();

  int index_;
  int multiprocessors_ = 0;
  std::string name_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Stage> up_, down_;
  std::mutex up_mutex_, down_mutex_, failure_mutex_, recordings_mutex_, scratch_mutex_, turn_;
  std::string failure_;
  std::string lost_;  // a failure after which the GPU computes nothing for this process any more
  std::map<Key, Recording> recordings_;
  std::uint64_t clock_ = 0;
  std::vector<void*> scratches_;  // the last is in use; recordings may use those before
  std::size_t scratch_bytes_ = 0;
};

inline Card& of(Device& device) { return static_cast<Card&>(device); }

// Starts a kernel behind those that were asked for before. It may begin while the one before it still runs: every
// kernel calls `wait_for_operands` before it reads or writes what others write or read.
template <class... P, class... A>
void launch(Card& card, const char* what, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared,
            A&&... arguments) noexcept {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared > 48 * 1024) {
    card.note(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared)),
              what);
  }
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared;
  config.stream = card.stream();
  config.attrs = &early, config.numAttrs = 1;
  card.note(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), what);
}

#ifdef __CUDACC__
// Returns when all kernels before this one are done, and lets the next one begin as far as it can without this one.
__device__ __forceinline__ void wait_for_operands() {
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
}
#endif

inline unsigned blocks_for(std::int64_t n, std::int64_t size) { return static_cast<unsigned>((n + size - 1) / size); }

// Empty, or how the GPU's arithmetic differs from what the table is built on.
std::string self_test(Card& card);

std::unique_ptr<Peak> measure_peak(Card& card, Clock clock);

// The operations, by source.
void embed(Device&, const Embed&) noexcept;
void norm(Device&, const Norm&) noexcept;
void linear(Device&, const Linear&) noexcept;
std::size_t linear_scratch(const quant::Matrix&, std::int64_t rows) noexcept;
void* pack(Device&, View&) noexcept;
void* pack_quantized(Device&, quant::Matrix&) noexcept;
void angles(Device&, const Angles&) noexcept;
void rotate(Device&, const Rotate&) noexcept;
void append(Device&, const Append&) noexcept;
void attend(Device&, const Attend&) noexcept;
void convolve(Device&, const Convolve&) noexcept;
void route(Device&, const Route&) noexcept;
void expert_linear(Device&, const ExpertLinear&) noexcept;
void mix(Device&, const Mix&) noexcept;
void recur(Device&, const Recur&) noexcept;
void gate(Device&, const Gate&) noexcept;
void scale(Device&, const Scale&) noexcept;
void add(Device&, const Add&) noexcept;
void pick(Device&, const Pick&) noexcept;
void convert(Device&, const Convert&) noexcept;
void encode(Device&, const Encode&) noexcept;
void decode(Device&, const Decode&) noexcept;

}  // namespace pkv::kernels::cuda
