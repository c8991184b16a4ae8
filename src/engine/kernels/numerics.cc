#include "engine/kernels/numerics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "base/checksum.h"
#include "base/random.h"
#include "engine/kernels/call.h"
#include "engine/tensor/buffer.h"

namespace pkv::kernels {
namespace {

// Draws the inputs of all probes in a row: those of one depend on its place behind the others.
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
    backend_.upload(view.data, host.data, host.bytes());
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
    call(backend_, &Ops::convert, {.from = rows(wide), .to = rows(narrow)});
    return narrow;
  }
  View packed(View matrix) {
    memory_.push_back(pack(backend_, matrix));
    return matrix;
  }
  Batch begin(const Sequence& sequence) { return kernels::begin(backend_, {&sequence, 1}, memory_.emplace_back()); }
  void take(const View& result) {
    results.resize(static_cast<std::size_t>(result.elements()));
    backend_.download(results.data(), result.data, result.bytes());
  }

  void norm() {
    const View out = memory(DType::f32, {2, 70});
    call(backend_, &Ops::norm, {.x = numbers({2, 70}), .weight = numbers({70}), .bias = numbers({70}), .out = out});
    take(out);
  }
  void norm_rms() {
    const View x = numbers({2, 3, 70}), out = memory(DType::f32, {2, 3, 70});
    call(backend_, &Ops::norm, {.x = x, .weight = numbers({70}), .out = out, .centred = false});
    take(out);
  }
  void gate() {
    const View out = memory(DType::f32, {2, 70});
    call(backend_, &Ops::gate, {.x = numbers({2, 70}), .up = numbers({2, 70}), .out = out, .act = Act::silu});
    take(out);
  }
  void xielu() {
    const View out = memory(DType::f32, {2, 70});
    call(backend_, &Ops::gate, {.x = numbers({2, 70}), .out = out, .xielu = numbers({4})});
    take(out);
  }
  // Two calls, the second of which goes on from what the first has kept.
  template <class Body>
  void in_two_calls(std::int64_t bytes, const Body& body) {
    std::byte* kept = memory(DType::u8, {bytes}).as<std::byte>();
    body(begin({.rows = 3, .next = kept}));
    body(begin({.first_row = 3, .rows = 2, .past = 3, .state = kept, .next = kept}));
  }
  void convolve() {
    const View out = memory(DType::f32, {5, 70}), x = numbers({5, 70}), weight = numbers({4, 70}), bias = numbers({70});
    in_two_calls(3 * 70 * 4, [&](const Batch& batch) {
      call(backend_, &Ops::convolve, {.x = x, .weight = weight, .bias = bias, .out = out, .batch = batch});
    });
    take(out);
  }
  void recur(bool delta) {
    const View out = memory(DType::f32, {5, 4, 22}), positive = memory(DType::f32, {4});
    const View q = numbers({5, 2, 12}), k = numbers({5, 2, 12}), v = numbers({5, 4, 22}), a = numbers({5, 4});
    const View b = numbers({5, 4}), rate = numbers({4}), bias = numbers({4}), skip = numbers({4});
    // Keys no longer than 1, or so, and rates above 0: matrices that do not grow.
    const View keys(k.data, DType::f32, {5, 24});
    call(backend_, &Ops::scale, {.x = keys, .out = keys, .factor = 0.25f});
    call(backend_, &Ops::gate,
         {.x = View(rate.data, DType::f32, {1, 4}),
          .out = View(positive.data, DType::f32, {1, 4}),
          .act = Act::sigmoid});
    in_two_calls(4 * 12 * 22 * 4, [&](const Batch& batch) {
      call(backend_, &Ops::recur,
           {.q = q,
            .k = k,
            .v = v,
            .a = a,
            .b = delta ? b : View(),
            .rate = positive,
            .bias = bias,
            .skip = delta ? View() : skip,
            .out = out,
            .batch = batch});
    });
    take(out);
  }
  void limited_gate() {
    const View out = memory(DType::f32, {2, 35});
    call(backend_, &Ops::gate,
         {.x = numbers({2, 70}), .out = out, .act = Act::quick_gelu, .neighbours = true, .limit = 1.5f});
    take(out);
  }
  void route(const Routing& how) {
    Route a{.scores = numbers({3, 12}), .how = how};
    a.weights = memory(DType::f32, {3, 2});
    a.places = memory(DType::i32, {3, 2}), a.rows = memory(DType::i32, {6}), a.starts = memory(DType::i32, {13});
    call(backend_, &Ops::route, a);
    take(a.weights);
  }
  void mix() {
    Buffer places(DType::i32, {1, 5});
    std::ranges::copy(std::initializer_list<std::int32_t>{2, 0, 4, 1, 3}, places.span<std::int32_t>().begin());
    const View out = memory(DType::f32, {1, 70});
    call(backend_, &Ops::mix,
         {.x = numbers({5, 70}), .weights = numbers({1, 5}), .places = upload(places.view()), .out = out});
    take(out);
  }
  void soft_cap() {
    const View out = memory(DType::f32, {2, 70});
    call(backend_, &Ops::scale, {.x = numbers({2, 70}), .out = out, .factor = 3, .cap = 2.5f});
    take(out);
  }
  void add() {
    const View out = memory(DType::f32, {2, 70});
    call(backend_, &Ops::add, {.x = numbers({2, 70}), .add = numbers({2, 70}), .out = out, .scale = 0.3f});
    take(out);
  }
  void linear(std::int64_t in, DType dtype, Act act) {
    const View out = memory(DType::f32, {1, 7});
    call(backend_, &Ops::linear,
         {.x = numbers({1, in}), .weight = packed(numbers({7, in}, dtype)), .out = out, .act = act});
    take(out);
  }
  // Blocks of bytes that make small finite scales of 16 bits, wherever in a block these lie.
  View blocks(std::int64_t bytes) {
    Buffer host(DType::u8, {bytes});
    for (std::uint8_t& b : host.span<std::uint8_t>()) {
      b = static_cast<std::uint8_t>(0x2e + static_cast<int>(14 * random_signed(17, drawn_++)));
    }
    return upload(host.view());
  }
  void linear(quant::Format format) {
    quant::Matrix m{.format = format, .out = 7, .in = 192};
    if (m.traits().scaling == quant::Scaling::inside) {
      m.in = m.traits().columns_multiple == 256 ? 512 : 576;
      m.codes = blocks(static_cast<std::int64_t>(m.code_bytes()));
      m.scales = memory(DType::f32, {0});
    } else {
      m.codes = m.codes_in(memory(DType::u8, {static_cast<std::int64_t>(m.code_bytes())}).data);
      m.scales = memory(DType::f32, {m.scale_count()});
      call(backend_, &Ops::encode, {.from = numbers({m.out, m.in}), .to = m});
    }
    memory_.push_back(pack(backend_, m));
    const View out = memory(DType::f32, {1, m.out});
    const auto scratch = static_cast<std::int64_t>(backend_.ops().linear_scratch(m, 1));
    call(backend_, &Ops::linear,
         {.x = numbers({1, m.in}),
          .out = out,
          .quantized = m,
          .scratch = memory(DType::u8, {scratch}),
          .outlier_threshold = 1.5f});
    take(out);
  }
  void rotary(bool neighbours) {
    Buffer positions(DType::i32, {3}), frequencies(DType::f32, {16});
    std::ranges::copy(std::initializer_list<std::int32_t>{1, 77, 2047}, positions.span<std::int32_t>().begin());
    for (int i = 0; i < 16; ++i) frequencies.span<float>()[i] = static_cast<float>(std::pow(10000., -i / 16.));
    const View cos = memory(DType::f32, {3, 16}), sin = memory(DType::f32, {3, 16}), x = numbers({3, 1, 2, 32});
    call(backend_, &Ops::angles,
         {.positions = upload(positions.view()), .frequencies = upload(frequencies.view()), .cos = cos, .sin = sin});
    call(backend_, &Ops::rotate, {.x = x, .cos = cos, .sin = sin, .neighbours = neighbours});
    take(x);
  }
  // A row that attends to all of a block and a part of the next one; with a window to a part of each.
  void attend(DType dtype, const Attend& how, bool sinks = false) {
    constexpr std::int64_t kTokens = kBlockTokens + 6, kHeads = 2, kDim = 24;
    const auto part = static_cast<std::size_t>(kHeads * kDim * kBlockTokens) * size_of(dtype);
    const auto block = static_cast<std::int64_t>(2 * part);
    std::byte* const blocks[] = {memory(DType::u8, {block}).as<std::byte>(),
                                 memory(DType::u8, {block}).as<std::byte>()};
    const PastLayer layer{.keys = 0, .values = part, .head_dim = kDim, .dtype = dtype};
    const Batch all = begin({.rows = kTokens, .blocks = blocks});
    const Batch last = begin({.rows = 1, .past = kTokens - 1, .blocks = blocks});
    call(backend_, &Ops::append,
         {.k = numbers({kTokens, kHeads, kDim}), .v = numbers({kTokens, kHeads, kDim}), .batch = all, .layer = layer});
    const View out = memory(DType::f32, {1, 2 * kHeads, kDim});
    Attend a = how;
    a.q = numbers({1, kHeads, 2, kDim});
    a.slopes = numbers({2 * kHeads});
    if (a.window > 0) a.slopes = {}, a.factors = numbers({1});
    if (sinks) a.sinks = numbers({2 * kHeads});
    a.out = out, a.batch = last, a.layer = layer, a.scale = 0.2f;
    call(backend_, &Ops::attend, a);
    take(out);
  }

  std::vector<float> results;

 private:
  Backend backend_;
  std::vector<Memory> memory_;
  std::uint64_t drawn_ = 0;
};

constexpr std::array kFloats{DType::f32, DType::f16, DType::bf16};

std::uint64_t hash_of(std::span<const float> results) { return checksum(std::as_bytes(results)); }

std::string linear_name(std::string_view format) { return "linear " + std::string(format); }
std::string attend_name(DType dtype) { return "attend " + std::string(name_of(dtype)); }
std::string act_name(Act act) { return "act " + std::string(name_of(act)); }
constexpr const char *kNorm = "norm", *kNormRms = "norm rms", *kRotary = "rotary", *kAdd = "add", *kGate = "gate";
constexpr const char *kXielu = "xielu", *kConvolve = "convolve", *kDelta = "recur delta", *kScan = "recur";
constexpr const char *kNeighbours = "rotary neighbours", *kSoftCap = "soft cap";
constexpr const char *kWindow = "attend window", *kCapped = "attend soft cap", *kSinks = "attend sinks";
constexpr const char *kLimited = "gate limited", *kMix = "mix";
constexpr auto kRoutes = std::to_array<std::pair<Routing::By, const char*>>({
    {Routing::By::softmax, "route softmax"},
    {Routing::By::sigmoid, "route sigmoid"},
    {Routing::By::of_chosen, "route softmax of chosen"},
    {Routing::By::sparse_mixer, "route sparse mixer"},
});

}  // namespace

std::vector<std::string> names_of(const Norm& call) { return {call.centred ? kNorm : kNormRms}; }
std::vector<std::string> names_of(const Linear& call) {
  std::vector<std::string> names{
      linear_name(call.quantized ? quant::name_of(call.quantized.format) : name_of(call.weight.dtype))};
  if (call.act != Act::identity) names.push_back(act_name(call.act));
  return names;
}
std::vector<std::string> names_of(const Angles&) { return {kRotary}; }
std::vector<std::string> names_of(const Rotate& call) { return {call.neighbours ? kNeighbours : kRotary}; }
std::vector<std::string> names_of(const Attend& call) {
  std::vector<std::string> names{attend_name(call.layer.dtype)};
  if (call.window > 0 || call.factors) names.emplace_back(kWindow);
  if (call.cap > 0) names.emplace_back(kCapped);
  if (call.sinks) names.emplace_back(kSinks);
  return names;
}
std::vector<std::string> names_of(const Convolve& call) {
  std::vector<std::string> names{kConvolve};
  if (call.act != Act::identity) names.push_back(act_name(call.act));
  return names;
}
std::vector<std::string> names_of(const Recur& call) { return {call.b ? kDelta : kScan}; }
std::vector<std::string> names_of(const Gate& call) {
  if (call.xielu) return {kXielu};
  if (call.limit > 0) return {kLimited, act_name(call.act)};
  std::vector<std::string> names{kGate};
  if (call.act != Act::identity) names.push_back(act_name(call.act));
  return names;
}
std::vector<std::string> names_of(const Scale& call) {
  return call.cap > 0 ? std::vector<std::string>{kSoftCap} : std::vector<std::string>{};
}
std::vector<std::string> names_of(const Add&) { return {kAdd}; }
std::vector<std::string> names_of(const Route& call) { return {kRoutes[static_cast<std::size_t>(call.how.by)].second}; }
std::vector<std::string> names_of(const ExpertLinear& call) { return names_of(call.pairs); }
std::vector<std::string> names_of(const Mix&) { return {kMix}; }

std::uint64_t ProbedOperation::hash() const { return hash_of(results); }

std::uint64_t Numerics::hash_of_first() const {
  std::vector<float> all;
  for (const ProbedOperation& p : std::span(operations).first(first))
    all.insert(all.end(), p.results.begin(), p.results.end());
  return hash_of(all);
}

Numerics probe_numerics(const Backend& backend) {
  Numerics numerics;
  Probe probe(backend);
  const auto done = [&](std::string name) {
    numerics.operations.push_back({std::move(name), std::move(probe.results)});
  };
  // The first ones. Saved pasts hold the hash of these results in this order: leave them as they are.
  probe.norm(), done(kNorm);
  for (const DType dtype : kFloats) {
    probe.linear(1100, dtype, Act::identity), done(linear_name(name_of(dtype)));
    probe.attend(dtype, {}), done(attend_name(dtype));
  }
  for (auto act = Act::relu; act <= Act::sqrtsoftplus; act = static_cast<Act>(static_cast<int>(act) + 1)) {
    probe.linear(8, DType::f32, act), done(act_name(act));
  }
  for (const auto format : {quant::Format::int8, quant::Format::fp4, quant::Format::nf4}) {
    probe.linear(format), done(linear_name(quant::name_of(format)));
  }
  probe.rotary(false), done(kRotary);
  numerics.first = numerics.operations.size();
  // Operations that came since: add a probe here, behind those that are there.
  probe.add(), done(kAdd);
  probe.norm_rms(), done(kNormRms);
  probe.gate(), done(kGate);
  probe.soft_cap(), done(kSoftCap);
  probe.rotary(true), done(kNeighbours);
  probe.attend(DType::f32, {.window = 40}), done(kWindow);
  probe.attend(DType::f32, {.cap = 0.5f}), done(kCapped);
  probe.xielu(), done(kXielu);
  for (const quant::Format format : quant::formats()) {
    if (quant::traits(format).scaling != quant::Scaling::inside) continue;
    probe.linear(format), done(linear_name(quant::name_of(format)));
  }
  probe.convolve(), done(kConvolve);
  probe.recur(true), done(kDelta);
  probe.recur(false), done(kScan);
  for (const auto& [by, name] : kRoutes) {
    probe.route({.by = by, .normalised = by == Routing::By::sigmoid, .factor = 1.5f, .tolerance = 0.3f}), done(name);
  }
  probe.mix(), done(kMix);
  probe.limited_gate(), done(kLimited);
  probe.attend(DType::f32, {}, true), done(kSinks);
  return numerics;
}

}  // namespace pkv::kernels
