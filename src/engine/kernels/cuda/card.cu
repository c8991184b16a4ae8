#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "engine/kernels/cuda/card.cuh"

namespace pkv::kernels::cuda {
namespace {

constexpr std::size_t kLine = 512, kPage = std::size_t{2} << 20, kSlab = std::size_t{64} << 20;
constexpr std::size_t kMostSpare = std::size_t{512} << 20;  // of slabs and large pieces that nobody has
constexpr std::size_t kMostRecordings = 64;

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

std::string gib(std::size_t bytes) {
  const auto tenths = bytes * 10 / (std::size_t{1} << 30);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

// Calls of the driver that a thread which records must not make otherwise.
class Unrecorded {
 public:
  Unrecorded() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~Unrecorded() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// What the calling thread records, and for whom.
struct Recorder {
  Card* card = nullptr;
  cudaStream_t stream = nullptr;
};
thread_local Recorder recorder;

bool supported(int index) {
  int major = 0, minor = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) == cudaSuccess && major == 9 &&
         minor == 0;
}

std::string name_of_gpu(int index) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return "GPU " + std::to_string(index);
  return std::string(properties.name) + ", " + std::to_string(properties.major) + "." +
         std::to_string(properties.minor);
}

// The one that PKV_GPU names, else the first that is supported.
int chosen_gpu() {
  int count = 0;
  cudaGetDeviceCount(&count);
  const char* wanted = std::getenv("PKV_GPU");
  if (wanted == nullptr || *wanted == '\0') {
    for (int i = 0; i < count; ++i) {
      if (supported(i)) return i;
    }
    return 0;
  }
  char* end = nullptr;
  const long index = std::strtol(wanted, &end, 10);
  if (*end != '\0' || index < 0 || index >= count) {
    fail_usage({.what = "no such GPU",
                .where = "PKV_GPU",
                .expected = count == 1 ? "0" : "0 to " + std::to_string(count - 1),
                .found = wanted});
  }
  if (!supported(static_cast<int>(index))) {
    fail_usage({.what = "this GPU is not supported",
                .where = "PKV_GPU=" + std::string(wanted),
                .expected = "compute capability 9.0 (H100, H200)",
                .found = name_of_gpu(static_cast<int>(index)),
                .hint = "--backend cpu"});
  }
  return static_cast<int>(index);
}

}  // namespace

std::string find_gpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    return error == cudaErrorInsufficientDriver ? "there is no driver for NVIDIA's GPUs, or one that is too old"
                                                : "there is no GPU";
  }
  if (error != cudaSuccess) return std::string("the GPU cannot be used: ") + cudaGetErrorString(error);
  std::string found;
  for (int i = 0; i < count; ++i) {
    if (supported(i)) return {};
    found += (found.empty() ? "" : "; ") + name_of_gpu(i);
  }
  return "no GPU of compute capability 9.0 (H100, H200) is there, only " + found;
}

Slabs::~Slabs() {
  for (const auto& [at, piece] : pieces_) {
    if (piece.first) cudaFree(at);
  }
  for (const auto& [at, bytes] : large_) cudaFree(at);
  for (const auto& [bytes, at] : large_free_) cudaFree(at);
}

std::size_t Slabs::spare() const noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const auto& [size, at] : free_) bytes += size;
  for (const auto& [size, at] : large_free_) bytes += size;
  return bytes;
}

void* Slabs::ask(std::size_t bytes) noexcept {
  const Unrecorded unrecorded;
  void* memory = nullptr;
  if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
  cudaGetLastError();
  for (const auto& [size, at] : large_free_) cudaFree(at);
  large_free_.clear();
  trim();
  if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
  cudaGetLastError();
  return nullptr;
}

// Gives slabs back that nobody has a piece of.
void Slabs::trim() {
  for (auto i = pieces_.begin(); i != pieces_.end();) {
    const auto next = std::next(i);
    if (i->second.first && i->second.free && (next == pieces_.end() || next->second.first)) {
      free_.erase({i->second.bytes, i->first});
      cudaFree(i->first);
      pieces_.erase(i);
    }
    i = next;
  }
}

void Slabs::set_free(Pieces::iterator piece, bool free) {
  piece->second.free = free;
  if (free) {
    free_.insert({piece->second.bytes, piece->first});
  } else {
    free_.erase({piece->second.bytes, piece->first});
  }
}

void* Slabs::take(std::size_t bytes) noexcept try {
  if (bytes > SIZE_MAX / 2) return nullptr;
  const std::lock_guard lock(mutex_);
  if (bytes > kSlab / 2) {
    const std::size_t size = round_up(bytes, kPage);
    void* memory = nullptr;
    if (const auto found = large_free_.find(size); found != large_free_.end()) {
      memory = found->second;
      large_free_.erase(found);
    } else {
      memory = ask(size);
    }
    if (memory != nullptr) large_[memory] = size;
    return memory;
  }
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), kLine);
  auto found = free_.lower_bound({size, nullptr});
  if (found == free_.end()) {
    auto* slab = static_cast<std::byte*>(ask(kSlab));
    if (slab == nullptr) return nullptr;
    set_free(pieces_.insert({slab, {.bytes = kSlab, .first = true}}).first, true);
    found = free_.lower_bound({size, nullptr});
  }
  const auto piece = pieces_.find(found->second);
  set_free(piece, false);
  if (piece->second.bytes > size) {
    const auto rest = pieces_.insert({piece->first + size, {.bytes = piece->second.bytes - size}}).first;
    piece->second.bytes = size;
    set_free(rest, true);
  }
  return piece->first;
} catch (...) {
  return nullptr;
}

void Slabs::give(void* memory) noexcept try {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (const auto found = large_.find(memory); found != large_.end()) {
    std::size_t spare = found->second;
    for (const auto& [size, at] : large_free_) spare += size;
    if (spare > kMostSpare) {
      const Unrecorded unrecorded;
      cudaFree(memory);
    } else {
      large_free_.insert({found->second, memory});
    }
    large_.erase(found);
    return;
  }
  auto piece = pieces_.find(static_cast<std::byte*>(memory));
  if (piece == pieces_.end()) return;
  if (const auto next = std::next(piece); next != pieces_.end() && next->second.free && !next->second.first) {
    set_free(next, false);
    piece->second.bytes += next->second.bytes;
    pieces_.erase(next);
  }
  if (!piece->second.first) {
    if (const auto before = std::prev(piece); before->second.free) {
      set_free(before, false);
      before->second.bytes += piece->second.bytes;
      pieces_.erase(piece);
      piece = before;
    }
  }
  set_free(piece, true);
} catch (...) {
}

Stage::Stage(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, kChunk * kChunks, cudaHostAllocDefault) != cudaSuccess) {
    fail_load({.what = "no memory of the host for copies to the GPU", .expected = "16 MiB"});
  }
  memory_ = static_cast<std::byte*>(memory);
  for (cudaEvent_t& event : done_) cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
}

Stage::~Stage() {
  for (const cudaEvent_t event : done_) cudaEventDestroy(event);
  cudaFreeHost(memory_);
}

std::byte* Stage::room(std::size_t bytes) noexcept {
  if (used_ + bytes > kChunk) {
    cudaEventRecord(done_[chunk_], stream_);
    chunk_ = (chunk_ + 1) % kChunks;
    cudaEventSynchronize(done_[chunk_]);
    used_ = 0;
  }
  std::byte* room = memory_ + chunk_ * kChunk + used_;
  used_ += round_up(bytes, 64);
  return room;
}

Card::Card(int index) : index_(index), name_("cuda (" + name_of_gpu(index) + ")") {
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    const bool busy = error == cudaErrorDevicesUnavailable;
    fail_load({.what = busy ? "the GPU is used by another program alone" : "the GPU cannot be opened",
               .where = name_,
               .found = cudaGetErrorString(error),
               .hint = busy ? "another one by PKV_GPU, or --backend cpu" : "--backend cpu"});
  }
  cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index);
  up_ = std::make_unique<Stage>(stream_);
  down_ = std::make_unique<Stage>(stream_);
}

Card::~Card() {
  enter();
  cudaStreamSynchronize(stream_);
  for (auto& [key, recording] : recordings_) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
  }
  for (void* memory : scratches_) slabs.give(memory);
  up_.reset(), down_.reset();
  cudaStreamDestroy(stream_);
}

std::string Card::memory_left() const {
  std::size_t free = 0, total = 0;
  cudaSetDevice(index_);
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return {};
  return gib(free + slabs.spare()) + " of the GPU's " + gib(total) + " are free";
}

void Card::enter() noexcept {
  thread_local int current = -1;
  if (current != index_ && cudaSetDevice(index_) == cudaSuccess) current = index_;
}

cudaStream_t Card::stream() noexcept {
  if (recorder.card == this) return recorder.stream;
  enter();
  return stream_;
}

void Card::fail(std::string what) noexcept {
  const std::lock_guard lock(failure_mutex_);
  if (failure_.empty()) failure_ = std::move(what);
}

bool Card::note(cudaError_t error, const char* what) noexcept {
  if (error == cudaSuccess) return true;
  cudaGetLastError();
  fail(std::string(what) + ": " + cudaGetErrorString(error));
  return false;
}

std::string Card::wait() noexcept {
  enter();
  const cudaError_t error = cudaStreamSynchronize(stream_);
  const cudaError_t launched = cudaGetLastError();
  const std::lock_guard lock(failure_mutex_);
  std::string failure = std::exchange(failure_, {});
  if (error != cudaSuccess || launched != cudaSuccess) {
    const char* text = cudaGetErrorString(error != cudaSuccess ? error : launched);
    if (failure.empty()) failure = text;
    // An error that stays is told by what comes next, too: nothing is computed any more.
    if (lost_.empty() && cudaStreamQuery(stream_) != cudaSuccess) {
      lost_ = text;
    } else if (!lost_.empty()) {
      failure = "it failed before (" + lost_ + ") and computes nothing more for this process; start it again";
    }
  }
  return failure;
}

void Card::upload(void* to, const void* from, std::size_t bytes) noexcept {
  const std::lock_guard lock(up_mutex_);
  cudaStream_t to_stream = stream();
  for (std::size_t first = 0; first < bytes; first += Stage::kChunk) {
    const std::size_t n = std::min(bytes - first, Stage::kChunk);
    std::byte* room = up_->room(n);
    std::memcpy(room, static_cast<const std::byte*>(from) + first, n);
    note(cudaMemcpyAsync(static_cast<std::byte*>(to) + first, room, n, cudaMemcpyHostToDevice, to_stream), "upload");
  }
}

// Copies a chunk to the host while the one before it goes from there to where it is wanted.
void Card::download(void* to, const void* from, std::size_t bytes) noexcept {
  const std::lock_guard lock(down_mutex_);
  cudaStream_t from_stream = stream();
  std::byte* to_copy = nullptr;
  std::size_t first = 0, last = 0;
  cudaEvent_t there{};
  cudaEventCreateWithFlags(&there, cudaEventDisableTiming);
  while (first < bytes) {
    const std::size_t n = std::min(bytes - first, Stage::kChunk);
    std::byte* room = down_->room(n);
    note(cudaMemcpyAsync(room, static_cast<const std::byte*>(from) + first, n, cudaMemcpyDeviceToHost, from_stream),
         "download");
    if (to_copy != nullptr) std::memcpy(static_cast<std::byte*>(to) + first - last, to_copy, last);
    cudaEventRecord(there, from_stream);
    note(cudaEventSynchronize(there), "download");
    to_copy = room, last = n, first += n;
  }
  if (to_copy != nullptr) std::memcpy(static_cast<std::byte*>(to) + first - last, to_copy, last);
  cudaEventDestroy(there);
}

void Card::copy(void* to, const void* from, std::size_t bytes) noexcept {
  note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "copy");
}

Batch Card::begin(std::span<const Sequence> sequences, void* memory) noexcept {
  const std::size_t bytes = batch_bytes(sequences);
  std::vector<std::byte> host(bytes);
  const Batch batch = write_batch(sequences, host.data(), memory);
  upload(memory, host.data(), bytes);
  return batch;
}

void* Card::scratch(std::size_t bytes) noexcept {
  const std::lock_guard lock(scratch_mutex_);
  if (bytes > scratch_bytes_) {
    enter();
    const std::size_t size = round_up(std::max(bytes, 2 * scratch_bytes_), kPage);
    void* memory = slabs.take(size);
    if (memory == nullptr) {
      fail("no memory for what an operation keeps between its steps: " + gib(size) + " wanted, " + memory_left());
      return nullptr;
    }
    try {
      scratches_.push_back(memory);
    } catch (...) {
      slabs.give(memory);
      return nullptr;
    }
    scratch_bytes_ = size;
  }
  return scratches_.empty() ? nullptr : scratches_.back();
}

// The first time of a key its operations are asked for, and buffers may grow; the second time they are recorded, too.
void Card::run(const Key& key, const std::function<void()>& body) {
  Recording* recording = nullptr;
  {
    const std::lock_guard lock(recordings_mutex_);
    recording = &recordings_[key];
    recording->used = ++clock_;
    ++recording->seen;
    if (recordings_.size() > kMostRecordings) forget_oldest();
  }
  const auto replay = [&] {
    const auto turn = this->turn();
    note(cudaGraphLaunch(recording->graph, stream()), "a recorded pass");
  };
  if (recording->graph != nullptr) return replay();
  if (recording->seen < 2 || recording->refused) return body();
  record(*recording, body);
  if (recording->graph == nullptr) return body();
  replay();
}

void Card::forget_oldest() {
  auto oldest = recordings_.begin();
  for (auto i = recordings_.begin(); i != recordings_.end(); ++i) {
    if (i->second.used < oldest->second.used) oldest = i;
  }
  if (oldest->second.graph != nullptr) {
    enter();
    cudaStreamSynchronize(stream_);
    cudaGraphExecDestroy(oldest->second.graph);
  }
  recordings_.erase(oldest);
}

void Card::record(Recording& recording, const std::function<void()>& body) {
  enter();
  recording.refused = true;  // until it has gone well
  cudaStream_t stream{};
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
  cudaGraph_t graph{};
  const auto end = [&] {
    recorder = {};
    const cudaError_t error = cudaStreamEndCapture(stream, &graph);
    cudaStreamDestroy(stream);
    cudaGetLastError();
    return error == cudaSuccess;
  };
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    cudaStreamDestroy(stream);
    return;
  }
  recorder = {this, stream};
  try {
    body();
  } catch (...) {
    if (end()) cudaGraphDestroy(graph);
    throw;
  }
  if (!end()) return;
  if (cudaGraphInstantiate(&recording.graph, graph, 0) == cudaSuccess) {
    recording.refused = false;
  } else {
    recording.graph = nullptr;
    cudaGetLastError();
  }
  cudaGraphDestroy(graph);
}

namespace {

std::unique_ptr<Device> open(int) {
  auto card = std::make_unique<Card>(chosen_gpu());
  if (const std::string wrong = self_test(*card); !wrong.empty()) {
    fail_load({.what = "this GPU does not compute as the table `cuda` is built on",
               .where = card->describe(),
               .found = wrong,
               .hint = "--backend cpu"});
  }
  return card;
}

void* allocate(Device& device, std::size_t bytes) noexcept {
  of(device).stream();
  return of(device).slabs.take(bytes);
}
void release(Device& device, void* memory) noexcept {
  of(device).stream();
  of(device).slabs.give(memory);
}
void* place(Device& device, View& view) noexcept {
  void* memory = allocate(device, view.bytes());
  if (memory != nullptr) of(device).upload(memory, view.data, view.bytes());
  view.data = memory;
  return memory;
}
void upload(Device& device, void* to, const void* from, std::size_t bytes) noexcept {
  of(device).upload(to, from, bytes);
}
void copy(Device& device, void* to, const void* from, std::size_t bytes) noexcept { of(device).copy(to, from, bytes); }
void download(Device& device, void* to, const void* from, std::size_t bytes) noexcept {
  of(device).download(to, from, bytes);
}
std::string wait(Device& device) { return of(device).wait(); }
Batch begin(Device& device, std::span<const Sequence> sequences, void* memory) noexcept {
  return of(device).begin(sequences, memory);
}
void run(Device& device, const Key& key, const std::function<void()>& body) { of(device).run(key, body); }
std::unique_ptr<Peak> peak(Device& device, Clock clock) { return measure_peak(of(device), std::move(clock)); }

}  // namespace

const Ops& compiled_table() {
  static const Ops table{.name = "cuda",
                         .open = open,
                         .memory = {.of_host = false,
                                    .allocate = allocate,
                                    .release = release,
                                    .place = place,
                                    .pack = pack,
                                    .pack_quantized = pack_quantized,
                                    .upload = upload,
                                    .copy = copy,
                                    .download = download,
                                    .wait = wait,
                                    .begin = begin,
                                    .run = run,
                                    .peak = peak},
                         .linear_scratch = linear_scratch,
                         .embed = embed,
                         .norm = norm,
                         .linear = linear,
                         .angles = angles,
                         .rotate = rotate,
                         .append = append,
                         .attend = attend,
                         .convolve = convolve,
                         .recur = recur,
                         .gate = gate,
                         .scale = scale,
                         .add = add,
                         .route = route,
                         .expert_linear = expert_linear,
                         .mix = mix,
                         .pick = pick,
                         .convert = convert,
                         .encode = encode,
                         .decode = decode};
  return table;
}

}  // namespace pkv::kernels::cuda
