// A table like that of a device, for tests. It computes what naive computes, in memory that nothing but its own
// operations can touch: anyone else who reads or writes there crashes. It packs matrices into an order of its own,
// records what a pass asks for and replays it, notes what a recording must not hold, and fails when told to.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/kernels/call.h"
#include "engine/kernels/host.h"

namespace pkv::support {

using namespace kernels;  // NOLINT: a table is written in the words of that room

class FarDevice : public host::Host {
 public:
  FarDevice() : Host("far", 1), base_(static_cast<std::byte*>(map())) {}
  ~FarDevice() override { ::munmap(base_, kRoom); }
  FarDevice(const FarDevice&) = delete;
  FarDevice& operator=(const FarDevice&) = delete;

  // Memory is readable and writable as long as one of these lives.
  class Reach {
   public:
    explicit Reach(FarDevice& device) : device_(device) { device_.protect(PROT_READ | PROT_WRITE); }
    ~Reach() { device_.protect(PROT_NONE); }
    Reach(const Reach&) = delete;
    Reach& operator=(const Reach&) = delete;

   private:
    FarDevice& device_;
  };

  void* take(std::size_t bytes) {
    note_memory_verb("memory was asked for");
    const std::size_t size = (bytes + 63) / 64 * 64 + 64;
    if (top_ + size > kRoom) return nullptr;
    void* memory = base_ + top_;
    sizes_[memory] = bytes;
    in_use += bytes;
    top_ += size;
    return memory;
  }
  void give(void* memory) {
    note_memory_verb("memory was released");
    in_use -= sizes_.at(memory);
    sizes_.erase(memory);
  }

  void ask(std::function<void()> operation) {
    if (recording_ != nullptr) recording_->push_back(operation);
    perform(operation);
  }

  void run(const Key& key, const std::function<void()>& body) {
    std::vector<std::function<void()>>& recorded = recordings_[key];
    const int times = ++seen_[key];
    if (times > 2) {
      ++replays;
      for (const auto& operation : recorded) perform(operation);
      return;
    }
    if (times == 2) recording_ = &recorded;
    body();
    recording_ = nullptr;
  }

  void note_memory_verb(const std::string& what) {
    if (recording_ != nullptr) wrong.push_back(what + " while operations were recorded");
  }

  std::string take_failure() { return std::exchange(failure_, {}); }

  std::size_t in_use = 0;          // bytes of memory that nobody has released
  int replays = 0;                 // passes whose verbs were not called
  int fail_in = 0;                 // which operation from here on fails; 0: none
  std::vector<std::string> wrong;  // what a recording must not hold

 private:
  static constexpr std::size_t kRoom = std::size_t{1} << 30;

  static void* map() { return ::mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); }
  void protect(int how) { ::mprotect(base_, (top_ + 4095) / 4096 * 4096, how); }

  void perform(const std::function<void()>& operation) {
    if (fail_in > 0 && --fail_in == 0) failure_ = "an operation went wrong";
    if (!failure_.empty()) return;
    const Reach reach(*this);
    operation();
  }

  std::byte* base_;
  std::size_t top_ = 0;
  std::map<void*, std::size_t> sizes_;
  std::map<Key, int> seen_;
  std::map<Key, std::vector<std::function<void()>>> recordings_;
  std::vector<std::function<void()>>* recording_ = nullptr;
  std::string failure_;
};

namespace far {

inline FarDevice& of(Device& device) { return static_cast<FarDevice&>(device); }

// The order of a packed matrix: nobody's but this table's.
constexpr std::byte kPacked{0xa5};
inline void turn(void* to, const void* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    static_cast<std::byte*>(to)[i] = static_cast<const std::byte*>(from)[i] ^ kPacked;
}

using Unpacked = std::vector<std::vector<std::byte>>;
inline void unpack(View& view, Unpacked& memory) {
  if (!view) return;
  memory.emplace_back(view.bytes());
  turn(memory.back().data(), view.data, view.bytes());
  view.data = memory.back().data();
}
template <class Call>
void unpack(Call&, Unpacked&) {}
inline void unpack(quant::Matrix& m, Unpacked& memory) {
  unpack(m.codes, memory);
  unpack(m.scales, memory);
}
inline void unpack(Embed& call, Unpacked& memory) {
  unpack(call.table, memory);
  unpack(call.quantized, memory);
}
inline void unpack(Linear& call, Unpacked& memory) {
  unpack(call.weight, memory);
  unpack(call.quantized, memory);
}

// Each expert's matrix, at addresses of their own.
inline void unpack(ExpertLinear& call, Unpacked& memory) {
  std::vector<std::int64_t> at;
  for (std::int64_t e = 0; e + 1 < call.starts[0]; ++e) {
    Linear l = call.of(e);
    unpack(l, memory);
    at.push_back(reinterpret_cast<std::int64_t>(l.quantized ? l.quantized.codes.data : l.weight.data));
    at.push_back(reinterpret_cast<std::int64_t>(l.quantized.scales.data));
  }
  const auto bytes = std::as_bytes(std::span(at));
  memory.emplace_back(bytes.begin(), bytes.end());
  call.addresses.data = memory.back().data();
}

template <auto kOperation, class Call>
void ask(Device& device, const Call& call) noexcept {
  of(device).ask([&device, call] {
    Unpacked memory;
    Call plain = call;
    unpack(plain, memory);
    (table("naive").*kOperation)(device, plain);
  });
}

inline std::unique_ptr<Device> open(int) { return std::make_unique<FarDevice>(); }
inline void* allocate(Device& device, std::size_t bytes) noexcept { return of(device).take(bytes); }
inline void release(Device& device, void* memory) noexcept { of(device).give(memory); }
inline void move(Device& device, void* to, const void* from, std::size_t bytes) noexcept {
  of(device).note_memory_verb("memory was moved");
  const FarDevice::Reach reach(of(device));
  std::memcpy(to, from, bytes);
}
inline void* place(Device& device, View& view) noexcept {
  void* memory = of(device).take(view.bytes());
  if (memory != nullptr) move(device, memory, view.data, view.bytes());
  view.data = memory;
  return memory;
}
inline void* pack(Device& device, View& view) noexcept {
  void* memory = of(device).take(view.bytes());
  const FarDevice::Reach reach(of(device));
  if (memory != nullptr) turn(memory, view.data, view.bytes());
  view.data = memory;
  return memory;
}
inline void* pack_quantized(Device& device, quant::Matrix& m) noexcept {
  const std::size_t codes = (m.codes.bytes() + 63) / 64 * 64;
  auto* memory = static_cast<std::byte*>(of(device).take(codes + m.scales.bytes()));
  const FarDevice::Reach reach(of(device));
  turn(memory, m.codes.data, m.codes.bytes());
  turn(memory + codes, m.scales.data, m.scales.bytes());
  m.codes.data = memory, m.scales.data = memory + codes;
  return memory;
}
inline std::string wait(Device& device) { return of(device).take_failure(); }
inline Batch begin(Device& device, std::span<const Sequence> sequences, void* memory) noexcept {
  of(device).note_memory_verb("a batch was begun");
  const FarDevice::Reach reach(of(device));
  return write_batch(sequences, memory, memory);
}
inline void run(Device& device, const Key& key, const std::function<void()>& body) { of(device).run(key, body); }

inline const Ops& ops() {
  static const Ops far{.name = "far",
                       .open = open,
                       .memory = {.of_host = false,
                                  .allocate = allocate,
                                  .release = release,
                                  .place = place,
                                  .pack = pack,
                                  .pack_quantized = pack_quantized,
                                  .upload = move,
                                  .copy = move,
                                  .download = move,
                                  .wait = wait,
                                  .begin = begin,
                                  .run = run,
                                  .peak = host::kMemory.peak},
                       .linear_scratch = host::linear_scratch,
                       .embed = ask<&Ops::embed, Embed>,
                       .norm = ask<&Ops::norm, Norm>,
                       .linear = ask<&Ops::linear, Linear>,
                       .angles = ask<&Ops::angles, Angles>,
                       .rotate = ask<&Ops::rotate, Rotate>,
                       .append = ask<&Ops::append, Append>,
                       .attend = ask<&Ops::attend, Attend>,
                       .convolve = ask<&Ops::convolve, Convolve>,
                       .recur = ask<&Ops::recur, Recur>,
                       .gate = ask<&Ops::gate, Gate>,
                       .scale = ask<&Ops::scale, Scale>,
                       .add = ask<&Ops::add, Add>,
                       .route = ask<&Ops::route, Route>,
                       .expert_linear = ask<&Ops::expert_linear, ExpertLinear>,
                       .mix = ask<&Ops::mix, Mix>,
                       .pick = ask<&Ops::pick, Pick>,
                       .convert = ask<&Ops::convert, Convert>,
                       .encode = ask<&Ops::encode, Encode>,
                       .decode = ask<&Ops::decode, Decode>};
  return far;
}

}  // namespace far
}  // namespace pkv::support
