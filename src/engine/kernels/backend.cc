#include "engine/kernels/backend.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "engine/kernels/call.h"

namespace pkv::kernels {
namespace {

#ifdef NDEBUG
constexpr bool kChecked = false;
#else
constexpr bool kChecked = true;
#endif

// Who owns which memory. Kept in builds that are not for release only.
class Owners {
 public:
  void add(const std::byte* data, std::size_t size, const Device& device) {
    const std::lock_guard lock(mutex_);
    pieces_[data] = {data + size, &device};
  }
  void remove(const std::byte* data) {
    const std::lock_guard lock(mutex_);
    pieces_.erase(data);
  }
  const Device* of(const std::byte* data) {
    const std::lock_guard lock(mutex_);
    const auto after = pieces_.upper_bound(data);
    if (after == pieces_.begin()) return nullptr;
    const auto& [end, device] = std::prev(after)->second;
    return data < end ? device : nullptr;
  }

 private:
  std::mutex mutex_;
  std::map<const std::byte*, std::pair<const std::byte*, const Device*>> pieces_;
};

Owners& owners() {
  static Owners& all = *new Owners;  // never destroyed: models that outlive main() release their memory, too
  return all;
}

[[noreturn]] void fail_memory(const Backend& backend, std::size_t bytes) {
  const std::string left = backend.device().memory_left();
  fail_load({.what = "not enough memory",
             .found = std::to_string(bytes) + " bytes asked for" + (left.empty() ? "" : ", and " + left),
             .hint = "a shorter text or a smaller number format"});
}

// Memory that a table gave for a view, which has no data when there was none left.
Memory taken(const Backend& backend, void* memory, const View& view, std::size_t bytes) {
  if (!view) fail_memory(backend, bytes);
  return memory == nullptr ? Memory() : Memory(backend, memory, bytes);
}

}  // namespace

Backend::Backend(const Ops& ops, int threads) : ops_(&ops), device_(ops.open(threads)) {}
Backend::Backend(std::string_view name, int threads) : Backend(table(name), threads) {}

std::string_view Backend::name() const { return ops_->name; }
std::string Backend::describe() const { return device_->describe(); }

void Backend::upload(void* to, const void* from_host, std::size_t bytes) const {
  ops_->memory.upload(*device_, to, from_host, bytes);
}

void Backend::copy(void* to, const void* from, std::size_t bytes) const {
  ops_->memory.copy(*device_, to, from, bytes);
}

void Backend::download(void* to_host, const void* from, std::size_t bytes) const {
  ops_->memory.download(*device_, to_host, from, bytes);
  wait();
}

void Backend::wait() const {
  const std::string failure = ops_->memory.wait(*device_);
  if (failure.empty()) return;
  fail_load({.what = "the device failed",
             .where = describe(),
             .found = failure,
             .hint = "a shorter text or a smaller number format; or another --backend"});
}

std::unique_ptr<Peak> Backend::peak(Clock clock) const { return ops_->memory.peak(*device_, std::move(clock)); }

Memory::Memory(Backend backend, void* data, std::size_t bytes)
    : backend_(std::make_unique<Backend>(std::move(backend))), data_(static_cast<std::byte*>(data)), size_(bytes) {
  if (data_ == nullptr) fail_memory(*backend_, bytes);
  if (kChecked) owners().add(data_, size_, backend_->device());
}

Memory::Memory(Backend backend, std::size_t bytes)
    : Memory(backend, backend.ops().memory.allocate(backend.device(), bytes), bytes) {}

Memory::~Memory() {
  if (data_ == nullptr) return;
  if (kChecked) owners().remove(data_);
  backend_->ops().memory.release(backend_->device(), data_);
}

Memory::Memory(Memory&& other) noexcept
    : backend_(std::move(other.backend_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Memory place(const Backend& backend, View& view) {
  const std::size_t bytes = view.bytes();
  void* memory = backend.ops().memory.place(backend.device(), view);
  return taken(backend, memory, view, bytes);
}

Memory pack(const Backend& backend, View& matrix) {
  const std::size_t bytes = matrix.bytes();
  void* memory = backend.ops().memory.pack(backend.device(), matrix);
  return taken(backend, memory, matrix, bytes);
}

Memory pack(const Backend& backend, quant::Matrix& matrix) {
  const std::size_t bytes = matrix.code_bytes() + matrix.scale_bytes();
  void* memory = backend.ops().memory.pack_quantized(backend.device(), matrix);
  return taken(backend, memory, matrix.codes, bytes);
}

void require_own(const Backend& backend, std::span<const View* const> operands) {
  if (!kChecked) return;
  for (const View* view : operands) {
    if (!*view || view->elements() == 0) continue;
    const Device* owner = owners().of(view->as<const std::byte>());
    if (owner == &backend.device() || (owner == nullptr && backend.ops().memory.of_host)) continue;
    fail_internal({.what = "an operand lies in memory that is not the device's",
                   .where = "a view of shape " + shape_text(*view),
                   .expected = "memory of " + backend.describe(),
                   .found = owner == nullptr ? "memory of the host" : "memory of " + owner->describe()});
  }
}

Batch begin(const Backend& backend, std::span<const Sequence> sequences, Memory& memory) {
  const std::size_t bytes = batch_bytes(sequences);
  if (memory.size() < bytes) memory = Memory(backend, bytes);
  return backend.ops().memory.begin(backend.device(), sequences, memory.data());
}

}  // namespace pkv::kernels
