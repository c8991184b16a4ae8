// A device's table as one that works in the host's memory, for tests of single operations: each call's operands are
// copied to the device, computed there and copied back, the gaps between rows included, so that what lies there is
// looked at, too. Matrices are packed for each call. Operands that overlap on the host overlap on the device.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/kernels/host.h"
#include "engine/kernels/kernels.h"

namespace pkv::support {

class StagedDevice : public kernels::host::Host {
 public:
  StagedDevice(const kernels::Ops& there, std::shared_ptr<kernels::Device> opened)
      : Host("staged", 1), ops(&there), device(std::move(opened)) {}
  std::string describe() const override { return device->describe() + ", staged"; }

  const kernels::Ops* ops;
  std::shared_ptr<kernels::Device> device;
};

namespace staged {

using namespace kernels;  // NOLINT: a table is written in the words of that room

[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "staged: %s\n", why.c_str());
  std::abort();
}

// Pieces of the host's memory and their copies.
class Copies {
 public:
  explicit Copies(StagedDevice& device) : device_(device) {}
  ~Copies() {
    for (void* memory : packed_) device_.ops->memory.release(*device_.device, memory);
    for (const auto& [begin, piece] : pieces_) device_.ops->memory.release(*device_.device, piece.there);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  void want(const std::byte* begin, std::size_t bytes) {
    if (begin == nullptr || bytes == 0) return;
    const std::byte* end = begin + bytes;
    for (auto i = pieces_.begin(); i != pieces_.end();) {
      if (i->first >= end || i->second.end <= begin) {
        ++i;
        continue;
      }
      begin = std::min(begin, i->first), end = std::max(end, i->second.end);
      i = pieces_.erase(i);
    }
    pieces_[begin] = {end, nullptr};
  }
  void want(const View& v) {
    if (!v || v.elements() == 0) return;
    std::int64_t last = 0;
    for (int d = 0; d < v.rank; ++d) last += (v[d] - 1) * v.step(d);
    want(v.as<const std::byte>(), static_cast<std::size_t>(last + 1) * size_of(v.dtype));
  }
  // Copies lie as far from a line of 64 bytes as what they are copies of, or on one where elements would lie unaligned:
  // so `place` puts what lies unaligned in a file.
  void upload() {
    for (auto& [begin, piece] : pieces_) {
      const auto bytes = static_cast<std::size_t>(piece.end - begin);
      piece.there = static_cast<std::byte*>(device_.ops->memory.allocate(*device_.device, bytes + 64));
      if (piece.there == nullptr) give_up("no memory on the device");
      const std::size_t from_line = reinterpret_cast<std::uintptr_t>(begin) % 64;
      piece.first = piece.there + (from_line % 4 == 0 ? from_line : 0);
      device_.ops->memory.upload(*device_.device, piece.first, begin, bytes);
    }
  }
  void download() {
    for (auto& [begin, piece] : pieces_) {
      device_.ops->memory.download(*device_.device, const_cast<std::byte*>(begin), piece.first,
                                   static_cast<std::size_t>(piece.end - begin));
    }
    if (const std::string failure = device_.ops->memory.wait(*device_.device); !failure.empty()) give_up(failure);
  }
  std::byte* of(const void* host) const {
    if (host == nullptr) return nullptr;
    const auto* at = static_cast<const std::byte*>(host);
    auto i = pieces_.upper_bound(at);
    if (i == pieces_.begin()) return nullptr;
    --i;
    return at < i->second.end ? i->second.first + (at - i->first) : nullptr;
  }
  void pack(View& matrix) {
    if (!matrix) return;
    if (void* memory = device_.ops->memory.pack(*device_.device, matrix)) packed_.push_back(memory);
  }
  void pack(quant::Matrix& matrix) {
    if (!matrix) return;
    if (void* memory = device_.ops->memory.pack_quantized(*device_.device, matrix)) packed_.push_back(memory);
  }

 private:
  struct Piece {
    const std::byte* end = nullptr;
    std::byte *there = nullptr, *first = nullptr;
  };
  StagedDevice& device_;
  std::map<const std::byte*, Piece> pieces_;
  std::vector<void*> packed_;
};

template <class Call>
void pack(Copies&, Call&) {}
inline void pack(Copies& copies, Linear& call) { copies.pack(call.weight), copies.pack(call.quantized); }
inline void pack(Copies& copies, Embed& call) { copies.pack(call.table), copies.pack(call.quantized); }

// The blocks of a call's sequences: what the layer has in them.
template <class Call>
concept HasBatch = requires(Call call) {
  call.batch, call.layer;
};

// What a call reads and writes of a sequence's state.
inline std::size_t state_bytes(const Convolve& call) {
  return static_cast<std::size_t>((call.weight[0] - 1) * call.out[1]) * sizeof(float);
}
inline std::size_t state_bytes(const Recur& call) {
  return static_cast<std::size_t>(call.v[1] * call.k[2] * call.v[2]) * sizeof(float);
}
template <class Call>
concept HasStates = requires(Call call) {
  state_bytes(call);
};

template <auto kOperation, class Call>
void ask(Device& host, const Call& call) noexcept {
  auto& device = static_cast<StagedDevice&>(host);
  Copies copies(device);
  for (const View* view : call.operands()) copies.want(*view);
  std::vector<Sequence> sequences;
  std::vector<std::vector<std::byte*>> blocks;
  if constexpr (HasBatch<Call>) {
    const std::int64_t kv_heads = [&] {
      if constexpr (requires { call.k; })
        return call.k[1];
      else
        return call.q[1];
    }();
    const std::size_t bytes =
        static_cast<std::size_t>(kv_heads * call.layer.head_dim * kBlockTokens) * size_of(call.layer.dtype);
    for (const Sequence& s : host::sequences(call.batch)) {
      sequences.push_back(s);
      blocks.emplace_back(s.blocks, s.blocks + (s.past + s.rows + kBlockTokens - 1) / kBlockTokens);
      for (const std::byte* block : blocks.back()) {
        if (block == nullptr) continue;
        copies.want(block + call.layer.keys, call.layer.values + bytes - call.layer.keys);
      }
    }
  }
  if constexpr (HasStates<Call>) {
    for (const Sequence& s : host::sequences(call.batch)) {
      sequences.push_back(s);
      if (s.state != nullptr) copies.want(s.state + call.at, state_bytes(call));
      copies.want(s.next + call.at, state_bytes(call));
    }
  }
  copies.upload();
  Call there = call;
  for (const View* view : there.operands()) {
    const_cast<View*>(view)->data = copies.of(view->data);
  }
  void* record = nullptr;
  if constexpr (HasBatch<Call>) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      for (std::byte*& block : blocks[i]) {
        if (block == nullptr) continue;
        block = copies.of(block + call.layer.keys) - call.layer.keys;
      }
      sequences[i].blocks = blocks[i].data();
    }
  }
  if constexpr (HasStates<Call>) {
    for (Sequence& s : sequences) {
      if (s.state != nullptr) s.state = copies.of(s.state + call.at) - call.at;
      s.next = copies.of(s.next + call.at) - call.at;
      s.blocks = nullptr;
    }
  }
  if constexpr (HasBatch<Call> || HasStates<Call>) {
    record = device.ops->memory.allocate(*device.device, batch_bytes(sequences));
    there.batch = device.ops->memory.begin(*device.device, sequences, record);
  }
  pack(copies, there);
  (device.ops->*kOperation)(*device.device, there);
  copies.download();
  if (record != nullptr) device.ops->memory.release(*device.device, record);
}

// By the host's starts and addresses, expert by expert.
inline void of_experts(Device& host, const ExpertLinear& call) noexcept {
  for (std::int64_t e = 0; e + 1 < call.starts[0]; ++e) {
    if (const Linear one = call.of(e); one.x[0] > 0) ask<&Ops::linear, Linear>(host, one);
  }
}

// The table of that name, which must be a device's and always the same one. All who open it share one device.
inline const Ops& ops(std::string_view name) {
  static const Ops& there = table(name);
  static const Ops here{.name = there.name,
                        .open = [](int) -> std::unique_ptr<Device> {
                          static const std::shared_ptr<Device> one = there.open(0);
                          return std::make_unique<StagedDevice>(there, one);
                        },
                        .memory = host::kMemory,
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
                        .expert_linear = of_experts,
                        .mix = ask<&Ops::mix, Mix>,
                        .pick = ask<&Ops::pick, Pick>,
                        .convert = ask<&Ops::convert, Convert>,
                        .encode = ask<&Ops::encode, Encode>,
                        .decode = ask<&Ops::decode, Decode>};
  return here;
}

}  // namespace staged
}  // namespace pkv::support
