// A table together with an open device, and memory on it. Copies share the device.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "engine/kernels/kernels.h"

namespace pkv::kernels {

class Backend {
 public:
  explicit Backend(const Ops& ops, int threads = 0) : ops_(&ops), device_(ops.open(threads)) {}
  // `name`: "naive", "cpu"; Error::usage when there is no such table.
  explicit Backend(std::string_view name, int threads = 0) : Backend(table(name), threads) {}

  // Another table on the device of `other`, whose kind of device it must take.
  Backend(const Ops& ops, const Backend& other) : ops_(&ops), device_(other.device_) {}

  const Ops& ops() const { return *ops_; }
  Device& device() const { return *device_; }

 private:
  const Ops* ops_;
  std::shared_ptr<Device> device_;
};

// Owned memory of a backend, not initialised. Move-only. Error::load when there is none left.
class Memory {
 public:
  Memory() = default;
  Memory(Backend backend, std::size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::unique_ptr<Backend> backend_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pkv::kernels
