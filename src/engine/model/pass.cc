#include "engine/model/pass.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/model/faults/deviation.h"

namespace pkv::model {

using kernels::Act;

View Workspace::get(const kernels::Backend& backend, Slot slot, DType dtype, std::int64_t rows, std::int64_t columns) {
  View view(nullptr, dtype, {rows, columns});
  // Rows an odd number of cache lines apart do not compete for the same sets of the caches, as those of a width that is
  // a power of two would. Logits leave the device in one piece.
  const std::int64_t line = 64 / static_cast<std::int64_t>(size_of(dtype));
  if (rows > 1 && slot != logits) view.stride[0] = (columns + line - 1) / line * line | line;
  const auto bytes = static_cast<std::size_t>(rows * view.stride[0]) * size_of(dtype);
  kernels::Memory& memory = memory_[slot];
  if (memory.size() < bytes) memory = kernels::Memory(backend, bytes);
  view.data = memory.data();
  return view;
}

Pass::Pass(const kernels::Backend& backend, const Card& card, const Int8& int8, Workspace& workspace,
           std::span<const Feed> feeds, Want want, Taps* taps, const Deviation* deviation)
    : backend_(backend),
      card_(card),
      int8_(int8),
      workspace_(workspace),
      feeds_(feeds),
      want_(want),
      taps_(taps),
      deviation_(deviation) {
  std::vector<std::int32_t> ids;
  for (const Feed& feed : feeds) {
    feed.past->reserve(static_cast<std::int64_t>(feed.ids.size()));
    sequences_.push_back({.first_row = static_cast<std::int64_t>(ids.size()),
                          .rows = static_cast<std::int64_t>(feed.ids.size()),
                          .past = feed.past->length(),
                          .layer = {}});
    ids.insert(ids.end(), feed.ids.begin(), feed.ids.end());
  }
  rows_ = static_cast<std::int64_t>(ids.size());
  ids_ = upload(Workspace::ids, ids);
  x_ = buffer(Workspace::hidden, card.hidden);
}

View Pass::buffer(Workspace::Slot slot, std::int64_t columns) {
  return workspace_.get(backend_, slot, DType::f32, rows_, columns);
}

View Pass::upload(Workspace::Slot slot, std::span<const std::int32_t> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  View view = workspace_.get(backend_, slot, DType::i32, 1, n);
  view = View(view.data, DType::i32, {n});
  backend_.ops().upload(backend_.device(), view.data, values.data(), values.size_bytes());
  return view;
}

void Pass::tap(std::vector<float>& to, const View& x) {
  to.resize(static_cast<std::size_t>(x.elements()));
  const auto columns = static_cast<std::size_t>(x[1]);
  for (std::int64_t r = 0; r < x[0]; ++r) {
    const View row = x.rows(r, 1);
    backend_.ops().download(backend_.device(), to.data() + static_cast<std::size_t>(r) * columns, row.data,
                            columns * sizeof(float));
  }
}

void Pass::embed(const View& table) {
  backend_.ops().embed(backend_.device(), {.ids = ids_, .table = table, .out = x_, .add = false});
}

void Pass::add_rows_of(const View& table, const View& indices) {
  backend_.ops().embed(backend_.device(), {.ids = indices, .table = table, .out = x_, .add = true});
}

std::vector<std::int32_t> Pass::positions() const {
  std::vector<std::int32_t> all;
  for (const kernels::Sequence& s : sequences_) {
    for (std::int64_t r = 0; r < s.rows; ++r) all.push_back(static_cast<std::int32_t>(s.past + r));
  }
  if (deviation_ != nullptr) deviation_->misplace(all, 0);
  return all;
}

void Pass::add_positions(const View& table) { add_rows_of(table, upload(Workspace::positions, positions())); }

void Pass::add_positions_after_padding(const View& table, std::int32_t padding) {
  std::vector<std::int32_t> positions;
  for (const Feed& feed : feeds_) {
    const auto past = feed.past->ids();
    auto position = padding + static_cast<std::int32_t>(past.size()) -
                    static_cast<std::int32_t>(std::count(past.begin(), past.end(), padding));
    for (const std::int32_t id : feed.ids) positions.push_back(id == padding ? padding : ++position);
  }
  if (deviation_ != nullptr) deviation_->misplace(positions, padding + 1);
  add_rows_of(table, upload(Workspace::positions, positions));
}

void Pass::add_token_type(const View& table) {
  add_rows_of(table, upload(Workspace::positions, std::vector<std::int32_t>(static_cast<std::size_t>(rows_), 0)));
}

void Pass::rotary(double theta) {
  theta_ = theta;
  cos_ = buffer(Workspace::cos, card_.head_dim / 2);
  sin_ = buffer(Workspace::sin, card_.head_dim / 2);
  std::vector<std::int32_t> all = positions();
  if (deviation_ != nullptr) deviation_->misplace_rotary(all);
  const View view = upload(Workspace::positions, all);
  backend_.ops().angles(backend_.device(), {.positions = view, .cos = cos_, .sin = sin_, .theta = theta});
}

View Pass::norm(const Norm& norm) {
  const View out = buffer(spare(), card_.hidden);
  backend_.ops().norm(backend_.device(),
                      {.x = x_, .weight = norm.weight, .bias = norm.bias, .out = out, .eps = norm.eps});
  return out;
}

void Pass::replace(const View& states) {
  x_ = states;
  x_slot_ = spare();
}

// call.out = ... x . weight^T: `call` says what comes after the product.
void Pass::multiply(const View& x, const Projection& projection, kernels::Linear call) {
  call.x = x, call.weight = projection.weight, call.bias = projection.bias;
  if (projection.quantized) {
    const auto bytes = static_cast<std::int64_t>(kernels::linear_scratch(projection.quantized, x[0]));
    call.quantized = projection.quantized;
    call.scratch = workspace_.get(backend_, Workspace::scratch, DType::u8, 1, bytes);
    call.outlier_threshold = int8_.threshold, call.outliers_of_call = int8_.outliers_of_call;
  }
  std::int64_t first = 0;
  if (deviation_ != nullptr && projection.quantized) {
    for (const std::int64_t cut : deviation_->cuts(x[0])) multiply_rows(call, std::exchange(first, cut), cut - first);
  }
  multiply_rows(call, first, x[0] - first);
}

void Pass::multiply_rows(kernels::Linear call, std::int64_t first, std::int64_t rows) {
  if (rows == 0) return;
  call.x = call.x.rows(first, rows), call.out = call.out.rows(first, rows);
  if (call.add) call.add = call.add.rows(first, rows);
  backend_.ops().linear(backend_.device(), call);
}

void Pass::add(const Branch& branch) { multiply(branch.states, *branch.last, {.x = {}, .add = x_, .out = x_}); }

Branch Pass::mlp(const View& input, const Mlp& mlp) {
  const View inner = buffer(Workspace::inner, mlp.up.out());
  multiply(input, mlp.up, {.x = {}, .out = inner, .act = mlp.act});
  return {inner, &mlp.down};
}

namespace {

struct Qkv {
  View q, k, v;  // [rows, kv_heads, heads per kv head, head_dim], [rows, kv_heads, head_dim] twice
};

Qkv split(const View& fused, const Card& card, Fused layout) {
  const std::int64_t kv = card.kv_heads, per = card.heads / kv, dim = card.head_dim, rows = fused[0];
  const bool groups = layout == Fused::groups;
  const std::int64_t group = groups ? (per + 2) * dim : per * dim;  // from one kv head's queries to the next one's
  const std::int64_t step = groups ? group : dim;                   // from one key to the next
  const std::int64_t first_key = groups ? per * dim : card.heads * dim;
  const std::int64_t first_value = first_key + (groups ? dim : kv * dim);
  Qkv s{.q = View(fused.data, DType::f32, {rows, kv, per, dim}),
        .k = View(fused.as<float>() + first_key, DType::f32, {rows, kv, dim}),
        .v = View(fused.as<float>() + first_value, DType::f32, {rows, kv, dim})};
  s.q.stride = {fused.step(0), group, dim, 1};
  s.k.stride = s.v.stride = {fused.step(0), step, 1, 0};
  return s;
}

// Keys as [rows, kv_heads, 1, head_dim], the shape that `rotate` takes.
View as_heads(const View& k) {
  View v(k.data, k.dtype, {k[0], k[1], 1, k[2]});
  v.stride = {k.step(0), k.step(1), k[2], 1};
  return v;
}

}  // namespace

void Pass::rotate(const View& q, const View& k) {
  backend_.ops().rotate(backend_.device(), {.x = q, .cos = cos_, .sin = sin_});
  backend_.ops().rotate(backend_.device(), {.x = k, .cos = cos_, .sin = sin_});
  if (deviation_ != nullptr) deviation_->misrotate(q, k, cos_, sin_, theta_);
}

Branch Pass::attend(const View& input, const Attention& a) {
  if (taps_ != nullptr && layer_ == 0) tap(taps_->embedded, x_);
  const auto& ops = backend_.ops();
  auto& device = backend_.device();
  const std::int64_t width = (card_.heads + 2 * card_.kv_heads) * card_.head_dim;
  const View fused = buffer(Workspace::qkv, width);
  const auto product = [&](const Projection& p, const View& out) {
    multiply(input, p, {.x = {}, .out = out, .clip = a.clip});
  };
  if (a.qkv) {
    product(a.qkv, fused);
  } else {
    const std::int64_t q = a.q.out(), k = a.k.out();
    product(a.q, fused.columns(0, q));
    product(a.k, fused.columns(q, k));
    product(a.v, fused.columns(q + k, k));
  }
  const Qkv s = split(fused, card_, a.fused);
  if (a.rotary) rotate(s.q, as_heads(s.k));
  for (std::size_t i = 0; i < feeds_.size(); ++i) sequences_[i].layer = feeds_[i].past->layer(layer_);
  ops.append(device, {.k = s.k, .v = s.v, .sequences = sequences_});
  const View context = buffer(Workspace::context, card_.heads * card_.head_dim);
  View heads(context.data, DType::f32, {rows_, card_.heads, card_.head_dim});
  heads.stride[0] = context.step(0);
  const kernels::Attend call{.q = s.q,
                             .out = heads,
                             .slopes = a.alibi.slopes,
                             .sequences = sequences_,
                             .scale = a.scale,
                             .alibi_scale = a.alibi.scale,
                             .alibi_bf16 = a.alibi.bf16,
                             .causal = a.causal};
  deviation_ == nullptr ? ops.attend(device, call) : deviation_->attend(call);
  if (taps_ != nullptr) tap(taps_->attended.emplace_back(), context);
  return {context, &a.out};
}

void Pass::end_layer() {
  if (taps_ != nullptr) tap(taps_->layers.emplace_back(), x_);
  ++layer_;
}

void Pass::head() {
  if (want_ == Want::all) return;
  std::vector<std::int32_t> last;
  for (const kernels::Sequence& s : sequences_) last.push_back(static_cast<std::int32_t>(s.first_row + s.rows - 1));
  rows_ = static_cast<std::int64_t>(last.size());
  const View out = buffer(Workspace::picked, card_.hidden);
  backend_.ops().pick(backend_.device(), {.x = x_, .rows = upload(Workspace::wanted, last), .out = out});
  x_ = out;
  x_slot_ = Workspace::picked;
}

View Pass::dense(const Projection& projection, Act act) {
  const View out = buffer(spare(), card_.hidden);
  multiply(x_, projection, {.x = {}, .out = out, .act = act});
  return out;
}

void Pass::logits(const View& input, const View& weight, const View& bias) {
  if (taps_ != nullptr) tap(taps_->head, input);
  logits_ = buffer(Workspace::logits, weight[0]);
  multiply(input, {.weight = weight, .bias = bias}, {.x = {}, .out = logits_});
}

void Pass::commit() noexcept {
  for (const Feed& feed : feeds_) feed.past->commit(feed.ids);
}

}  // namespace pkv::model
