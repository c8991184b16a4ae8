#include "engine/kernels/numerics.h"

#include <algorithm>

#include "base/random.h"
#include "engine/tensor/buffer.h"
#include "engine/tensor/half.h"

namespace pkv::kernels {
namespace {

class Probe {
 public:
  explicit Probe(const Backend& backend) : backend_(backend) {}

  View memory(DType dtype, std::initializer_list<std::int64_t> shape) {
    View view(nullptr, dtype, shape);
    memory_.emplace_back(backend_, view.bytes());
    view.data = memory_.back().data();
    return view;
  }
  View upload(const View& host) {
    memory_.emplace_back(backend_, host.bytes());
    View view = host;
    view.data = memory_.back().data();
    backend_.ops().upload(device(), view.data, host.data, host.bytes());
    return view;
  }
  // Numbers in [-2, 2).
  View numbers(std::initializer_list<std::int64_t> shape, DType dtype = DType::f32) {
    Buffer host(DType::f32, shape);
    for (float& x : host.span<float>()) x = 2 * random_signed(17, drawn_++);
    const View wide = upload(host.view());
    if (dtype == DType::f32) return wide;
    const View narrow = memory(dtype, shape);
    const auto rows = [&](const View& v) { return View(v.data, v.dtype, {1, v.elements()}); };
    backend_.ops().convert(device(), {.from = rows(wide), .to = rows(narrow)});
    return narrow;
  }
  void take(const View& result) {
    const std::size_t at = results.size();
    results.resize(at + static_cast<std::size_t>(result.elements()));
    backend_.ops().download(device(), results.data() + at, result.data, result.bytes());
  }

  void norm() {
    const View out = memory(DType::f32, {2, 70});
    backend_.ops().norm(device(), {.x = numbers({2, 70}), .weight = numbers({70}), .bias = numbers({70}), .out = out});
    take(out);
  }
  void linear(std::int64_t in, DType dtype, Act act) {
    const View out = memory(DType::f32, {1, 7});
    backend_.ops().linear(device(), {.x = numbers({1, in}), .weight = numbers({7, in}, dtype), .out = out, .act = act});
    take(out);
  }
  void linear(quant::Format format) {
    quant::Matrix m{.format = format, .out = 7, .in = 192};
    const auto codes = static_cast<std::int64_t>(m.code_bytes());
    m.codes = format == quant::Format::int8 ? memory(DType::i8, {m.out, m.in}) : memory(DType::u8, {codes});
    m.scales = memory(DType::f32, {m.scale_count()});
    backend_.ops().encode(device(), {.from = numbers({m.out, m.in}), .to = m});
    const View out = memory(DType::f32, {1, m.out});
    const auto scratch = static_cast<std::int64_t>(linear_scratch(m, 1));
    backend_.ops().linear(device(), {.x = numbers({1, m.in}),
                                     .out = out,
                                     .quantized = m,
                                     .scratch = memory(DType::u8, {scratch}),
                                     .outlier_threshold = 1.5f});
    take(out);
  }
  void rotary() {
    Buffer positions(DType::i32, {3});
    std::ranges::copy(std::initializer_list<std::int32_t>{1, 77, 2047}, positions.span<std::int32_t>().begin());
    const View cos = memory(DType::f32, {3, 16}), sin = memory(DType::f32, {3, 16}), x = numbers({3, 1, 2, 32});
    backend_.ops().angles(device(), {.positions = upload(positions.view()), .cos = cos, .sin = sin, .theta = 10000});
    backend_.ops().rotate(device(), {.x = x, .cos = cos, .sin = sin});
    take(x);
  }
  // A row that attends to all of a block and a part of the next one.
  void attend(DType dtype) {
    constexpr std::int64_t kTokens = kBlockTokens + 6, kHeads = 2, kDim = 24;
    const auto part = static_cast<std::size_t>(kHeads * kDim * kBlockTokens) * size_of(dtype);
    const auto block = static_cast<std::int64_t>(2 * part);
    std::byte* const blocks[] = {memory(DType::u8, {block}).as<std::byte>(),
                                 memory(DType::u8, {block}).as<std::byte>()};
    const PastLayer layer{.blocks = blocks, .keys = 0, .values = part, .head_dim = kDim, .dtype = dtype};
    const Sequence all{.rows = kTokens, .layer = layer}, last{.rows = 1, .past = kTokens - 1, .layer = layer};
    backend_.ops().append(
        device(),
        {.k = numbers({kTokens, kHeads, kDim}), .v = numbers({kTokens, kHeads, kDim}), .sequences = {&all, 1}});
    const View out = memory(DType::f32, {1, 2 * kHeads, kDim});
    backend_.ops().attend(device(), {.q = numbers({1, kHeads, 2, kDim}),
                                     .out = out,
                                     .slopes = numbers({2 * kHeads}),
                                     .sequences = {&last, 1},
                                     .scale = 0.2f});
    take(out);
  }

  std::vector<float> results;

 private:
  Device& device() const { return backend_.device(); }

  Backend backend_;
  std::vector<Memory> memory_;
  std::uint64_t drawn_ = 0;
};

}  // namespace

std::vector<float> numerics_probe(const Backend& backend) {
  Probe probe(backend);
  probe.norm();
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    probe.linear(1100, dtype, Act::identity);
    probe.attend(dtype);
  }
  for (auto act = Act::relu; act <= Act::sqrtsoftplus; act = static_cast<Act>(static_cast<int>(act) + 1)) {
    probe.linear(8, DType::f32, act);
  }
  for (const quant::Format format : {quant::Format::int8, quant::Format::fp4, quant::Format::nf4}) probe.linear(format);
  probe.rotary();
  return std::move(probe.results);
}

}  // namespace pkv::kernels
