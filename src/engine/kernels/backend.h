// The door of room kernels for those who hold a table of operations, its device and memory, and do not call it: nothing
// here changes when an operation does. To call operations: call.h; to read what they are: kernels.h.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "engine/kernels/peak.h"
#include "engine/tensor/view.h"

namespace pkv::quant {
struct Matrix;
}

namespace pkv::kernels {

class Device;
struct Ops;

// A table together with an open device. Copies share the device.
class Backend {
 public:
  explicit Backend(const Ops& ops, int threads = 0);
  // `name`: "naive", "cpu", "cuda-model"; Error::usage when there is no such table.
  explicit Backend(std::string_view name, int threads = 0);

  // Another table on the device of `other`, whose kind of device it must take.
  Backend(const Ops& ops, const Backend& other) : ops_(&ops), device_(other.device_) {}

  const Ops& ops() const { return *ops_; }
  Device& device() const { return *device_; }
  std::string_view name() const;  // "cpu"
  std::string describe() const;   // "cpu (AVX2), 2 threads"

  void upload(void* to, const void* from_host, std::size_t bytes) const;
  void copy(void* to, const void* from, std::size_t bytes) const;
  // Both wait until all is done that was asked for. Error::load when something of it has failed: asynchronous failures
  // surface here, each once.
  void download(void* to_host, const void* from, std::size_t bytes) const;
  void wait() const;

  // Measures the device with all its threads. Error::load when there is no memory for it.
  std::unique_ptr<Peak> peak(Clock clock = seconds) const;

 private:
  const Ops* ops_;
  std::shared_ptr<Device> device_;
};

// Owned memory of a backend, not initialised. Move-only. Error::load when there is none left.
class Memory {
 public:
  Memory() = default;
  Memory(Backend backend, std::size_t bytes);
  // Takes memory over that the backend's table has given.
  Memory(Backend backend, void* data, std::size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::unique_ptr<Backend> backend_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Makes `view` one that operations can read, or that `linear` and `embed` can read as a matrix: see MemoryOps. Gives
// the memory that it lies in then, none where it stays as it is. Error::load when there is no memory left.
Memory place(const Backend& backend, View& view);
Memory pack(const Backend& backend, View& matrix);
Memory pack(const Backend& backend, quant::Matrix& matrix);

}  // namespace pkv::kernels
