#include "engine/model/pass.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/kernels/call.h"
#include "engine/model/faults/deviation.h"

namespace pkv::model {

using kernels::Act;
using kernels::Ops;

View Workspace::get(const kernels::Backend& backend, Slot slot, DType dtype, std::int64_t rows, std::int64_t columns) {
  View view(nullptr, dtype, {rows, columns});
  // Rows an odd number of cache lines apart do not compete for the same sets of the caches, as those of a width that is
  // a power of two would. Logits leave the device in one piece.
  const std::int64_t line = 64 / static_cast<std::int64_t>(size_of(dtype));
  if (rows > 1 && slot != logits) view.stride[0] = (columns + line - 1) / line * line | line;
  view.data = room(backend, slot, static_cast<std::size_t>(rows * view.stride[0]) * size_of(dtype));
  return view;
}

std::byte* Workspace::room(const kernels::Backend& backend, Slot slot, std::size_t bytes) {
  static std::atomic<std::uint64_t> last = 0;
  kernels::Memory& memory = memory_[slot];
  if (memory.size() < bytes) {
    memory = kernels::Memory(backend, bytes);
    number_ = ++last;
  }
  return memory.data();
}

// A power of two, so that a text that grows block by block seldom asks for other memory.
kernels::Batch Workspace::begin(const kernels::Backend& backend, Slot slot, std::span<const kernels::Sequence> all) {
  room(backend, slot, std::bit_ceil(kernels::batch_bytes(all)));
  return kernels::begin(backend, all, memory_[slot]);
}

Pass::Pass(const kernels::Backend& backend, const Card& card, const OutlierRule& outliers, Workspace& workspace,
           std::span<const Feed> feeds, Want want, Taps* taps, const Deviation* deviation)
    : backend_(backend),
      card_(card),
      outliers_(outliers),
      workspace_(workspace),
      feeds_(feeds),
      want_(want),
      taps_(taps),
      deviation_(deviation) {
  for (const Feed& feed : feeds) {
    const std::int64_t rows = std::ssize(feed.ids);
    feed.past->reserve(rows);
    sequences_.push_back(
        {.first_row = rows_, .rows = rows, .past = feed.past->length(), .blocks = feed.past->blocks(false)});
    if (const auto pieces = feed.past->pieces(); !pieces.empty()) {
      sequences_.back().state = feed.state != nullptr ? feed.state : pieces.front().state;
      sequences_.back().next = pieces.back().next;
    }
    window_sequences_.push_back(sequences_.back());
    window_sequences_.back().blocks = feed.past->blocks(true);
    rows_ += rows;
  }
  upload_record();
  // A model all of whose layers see a window has no other blocks, and the other way round.
  const PastShape& shape = feeds[0].past->shape();
  const bool windows = shape.widest() > 0, others = shape.window_start() > 0 || !windows;
  if (windows) window_batch_ = workspace.begin(backend, Workspace::window_sequences, window_sequences_);
  batch_ = others ? workspace.begin(backend, Workspace::sequences, sequences_) : window_batch_;
  if (!shape.states.empty()) begin_pieces();
  x_ = buffer(Workspace::hidden, card.hidden);
}

// The i-th part of each feed that has one. Where none is cut in two, the batch of all rows will do.
void Pass::begin_pieces() {
  std::vector<std::vector<kernels::Sequence>> parts;
  for (std::size_t f = 0; f < feeds_.size(); ++f) {
    kernels::Sequence rest = sequences_[f];
    rest.blocks = nullptr;
    const auto pieces = feeds_[f].past->pieces();
    parts.resize(std::max(parts.size(), pieces.size()));
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      rest.rows = pieces[i].rows, rest.next = pieces[i].next;
      if (i > 0) rest.state = pieces[i].state;
      parts[i].push_back(rest);
      rest.first_row += rest.rows, rest.past += rest.rows;
    }
  }
  if (parts.size() == 1) {
    pieces_.push_back(batch_);
    return;
  }
  for (const auto& part : parts) pieces_.push_back(kernels::begin(backend_, part, piece_memory_.emplace_back()));
}

template <class Body>
void Pass::each_piece(const Body& body) const {
  for (const kernels::Batch& piece : pieces_) body(piece);
}

// What is new in each pass, in one piece: ids, positions, token types, the rows that are wanted, factors of queries.
void Pass::upload_record() {
  std::vector<std::int32_t> all;
  for (const Feed& feed : feeds_) all.insert(all.end(), feed.ids.begin(), feed.ids.end());
  const std::vector<std::int32_t> places = positions();
  all.insert(all.end(), places.begin(), places.end());
  all.resize(all.size() + places.size());  // token types: all 0
  for (const kernels::Sequence& s : sequences_) all.push_back(static_cast<std::int32_t>(s.first_row + s.rows - 1));
  if (card_.temperature) {
    for (const std::int32_t position : places) {
      const auto steps = static_cast<double>(position / card_.temperature->step);
      all.push_back(std::bit_cast<std::int32_t>(static_cast<float>(1 + card_.temperature->beta * std::log1p(steps))));
    }
  }
  const View record = upload(Workspace::record, all);
  ids_ = record.rows(0, rows_);
  positions_ = record.rows(rows_, rows_);
  types_ = record.rows(2 * rows_, rows_);
  wanted_ = record.rows(3 * rows_, std::ssize(sequences_));
  if (card_.temperature) {
    factors_ = record.rows(3 * rows_ + std::ssize(sequences_), rows_);
    factors_.dtype = DType::f32;
  }
}

void Pass::run(const std::function<void()>& body) {
  if (taps_ != nullptr || deviation_ != nullptr || pieces_.size() > 1) return body();
  const std::int64_t wanted = want_ == Want::all ? rows_ : batch_.count;
  const kernels::Key key{.buffers = workspace_.number(),
                         .shape = {rows_, wanted, batch_.count, batch_.most_rows, batch_.most_blocks}};
  backend_.ops().memory.run(backend_.device(), key, body);
}

template <class Call>
void Pass::call(void (*Ops::*operation)(kernels::Device&, const Call&) noexcept,
                const std::type_identity_t<Call>& what) {
  kernels::call(backend_, operation, what);
}

View Pass::buffer(Workspace::Slot slot, std::int64_t columns) {
  return workspace_.get(backend_, slot, DType::f32, rows_, columns);
}

View Pass::upload(Workspace::Slot slot, std::span<const std::int32_t> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  View view = workspace_.get(backend_, slot, DType::i32, 1, n);
  view = View(view.data, DType::i32, {n});
  backend_.upload(view.data, values.data(), values.size_bytes());
  return view;
}

void Pass::tap_embedded() {
  if (taps_ != nullptr && layer_ == 0) tap(taps_->embedded, x_);
}

void Pass::tap(std::vector<float>& to, const View& x) {
  std::vector<float> rows(static_cast<std::size_t>((x[0] - 1) * x.step(0) + x[1]));
  backend_.download(rows.data(), x.data, rows.size() * sizeof(float));
  to.clear();
  for (std::int64_t r = 0; r < x[0]; ++r) to.insert(to.end(), &rows[r * x.step(0)], &rows[r * x.step(0)] + x[1]);
}

void Pass::embed(const Projection& table, float scale, const Projection& widen) {
  const View out = widen ? buffer(Workspace::inner, table.in()) : x_;
  call(&Ops::embed, {.ids = ids_, .table = table.weight, .out = out, .scale = scale, .quantized = table.quantized});
  if (widen) multiply(out, widen, {.x = {}, .out = x_});
}

// From the card's first on; where padding is counted by none and has a position of its own.
std::vector<std::int32_t> Pass::positions() const {
  std::vector<std::int32_t> all;
  const auto first = static_cast<std::int32_t>(card_.first_position);
  for (const Feed& feed : feeds_) {
    const auto past = feed.past->ids();
    const auto padding = [&](std::int32_t id) { return card_.padding && id == *card_.padding; };
    auto next = first + static_cast<std::int32_t>(std::ssize(past) - std::ranges::count_if(past, padding));
    for (const std::int32_t id : feed.ids) all.push_back(padding(id) ? id : next++);
  }
  if (deviation_ != nullptr) deviation_->misplace(all, first);
  return all;
}

void Pass::add_positions(const View& table) {
  call(&Ops::embed, {.ids = positions_, .table = table, .out = x_, .add = true});
}

void Pass::add_token_type(const View& table) {
  call(&Ops::embed, {.ids = types_, .table = table, .out = x_, .add = true});
}

// Rows of the call in runs that have the same fault, which is null as a rule.
template <class Body>
void Pass::each_run(const Body& body) const {
  if (deviation_ == nullptr) return body(0, rows_, nullptr);
  for (const Deviation::Run& run : deviation_->runs(rows_)) body(run.first, run.rows, run.fault);
}

void Pass::rotary(std::span<const Rotation> rotations) {
  if (rotations.empty()) return;
  rotations_ = rotations;
  std::int64_t pairs = 0;
  for (const Rotation& r : rotations) pairs += std::ssize(r.frequencies);
  cos_ = buffer(Workspace::cos, pairs);
  sin_ = buffer(Workspace::sin, pairs);
  View turned = positions_;
  if (deviation_ != nullptr) {
    std::vector<std::int32_t> all = positions();
    deviation_->misplace_rotary(all);
    turned = upload(Workspace::misplaced, all);
  }
  std::int64_t first = 0;
  for (const Rotation& r : rotations) {
    const std::int64_t n = std::ssize(r.frequencies);
    const View cos = cos_.columns(first, n), sin = sin_.columns(first, n);
    each_run([&](std::int64_t row, std::int64_t rows, const Fault* fault) {
      const bool shorter = r.short_table && fault != nullptr && fault->rotary == Fault::Rotary::of_length;
      call(&Ops::angles, {.positions = turned.rows(row, rows),
                          .frequencies = shorter ? r.short_table : r.table,
                          .cos = cos.rows(row, rows),
                          .sin = sin.rows(row, rows),
                          .factor = r.factor});
    });
    first += n;
  }
}

void Pass::normalise(const Norm& norm, const View& x, const View& out) {
  call(&Ops::norm,
       {.x = x, .weight = norm.weight, .bias = norm.bias, .out = out, .eps = norm.eps, .centred = norm.centred});
}

View Pass::norm(const Norm& norm) {
  const View out = buffer(spare(), card_.hidden);
  normalise(norm, x_, out);
  return out;
}

void Pass::replace(const View& states) {
  x_ = states;
  x_slot_ = spare();
}

kernels::Linear Pass::prepared(const View& x, const Projection& projection, kernels::Linear call) {
  call.x = x, call.weight = projection.weight, call.bias = projection.bias, call.places = projection.places;
  if (projection.quantized) {
    const auto bytes = static_cast<std::int64_t>(backend_.ops().linear_scratch(projection.quantized, x[0]));
    call.quantized = projection.quantized, call.as_ggml = projection.as_ggml;
    call.scratch = workspace_.get(backend_, Workspace::scratch, DType::u8, 1, bytes);
    call.outlier_threshold = outliers_.threshold, call.outliers_of_call = outliers_.of_call;
  }
  return call;
}

// call.out = ... x . weight^T: `call` says what comes after the product.
void Pass::multiply(const View& x, const Projection& projection, kernels::Linear call) {
  call = prepared(x, projection, call);
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
  this->call(&Ops::linear, call);
}

// A branch's states once its last product is done.
View Pass::computed(const Branch& branch) {
  if (branch.last == nullptr) return branch.states;
  const View out = buffer(Workspace::branch, card_.hidden);
  multiply(branch.states, *branch.last, {.x = {}, .out = out});
  return out;
}

Branch Pass::norm(const Norm& norm, const Branch& branch) {
  const View states = computed(branch);
  normalise(norm, states, states);
  return {.states = states, .scale = branch.scale};
}

void Pass::add(const Branch& branch) {
  if (branch.last != nullptr && branch.scale == 1) {
    return multiply(branch.states, *branch.last, {.x = {}, .add = x_, .out = x_});
  }
  call(&Ops::add, {.x = computed(branch), .add = x_, .out = x_, .scale = branch.scale});
}

Branch Pass::mlp(const View& input, const Mlp& mlp) {
  if (!mlp.gate && !mlp.gate_up) {
    const View inner = buffer(Workspace::inner, mlp.up.out());
    multiply(input, mlp.up, {.x = {}, .out = inner, .act = mlp.xielu ? Act::identity : mlp.act});
    if (mlp.xielu) call(&Ops::gate, {.x = inner, .out = inner, .xielu = mlp.xielu});
    return {inner, &mlp.down};
  }
  const std::int64_t n = mlp.gate_up ? mlp.gate_up.out() / 2 : mlp.up.out();
  const View inner = buffer(Workspace::inner, 2 * n), gate = inner.columns(0, n), up = inner.columns(n, n);
  if (mlp.gate_up) {
    multiply(input, mlp.gate_up, {.x = {}, .out = inner});
  } else {
    multiply(input, mlp.gate, {.x = {}, .out = gate});
    multiply(input, mlp.up, {.x = {}, .out = up});
  }
  call(&Ops::gate, {.x = gate, .up = up, .out = gate, .act = mlp.act});
  return {gate, &mlp.down};
}

Branch Pass::mix(const View& input, const Mixture& m) {
  const View out = buffer(Workspace::branch, card_.hidden);
  if (m.shared) {
    const Branch shared = mlp(input, *m.shared);
    multiply(shared.states, *shared.last, {.x = {}, .out = out});
  }
  if (m.shared_gate) {
    const View gate = buffer(Workspace::weights, 1);
    multiply(input, m.shared_gate, {.x = {}, .out = gate, .act = Act::sigmoid});
    call(&Ops::mix, {.x = out, .weights = gate, .out = out});
  }
  each_run([&](std::int64_t first, std::int64_t rows, const Fault* fault) {
    mix_rows(input.rows(first, rows), m, fault, out.rows(first, rows));
  });
  return {.states = out};
}

// Rows are gathered by expert, so that each matrix meets all of its rows at once.
void Pass::mix_rows(const View& input, const Mixture& m, const Fault* fault, const View& out) {
  const std::int64_t rows = input[0], pairs = rows * m.chosen, experts = m.down.count;
  const View scores = workspace_.get(backend_, Workspace::scores, DType::f32, rows, experts);
  multiply(input, m.router, {.x = {}, .out = scores});
  const View numbers = workspace_.get(backend_, Workspace::routed, DType::i32, 1, 2 * pairs + experts + 1);
  const auto part = [&](std::int64_t first, std::initializer_list<std::int64_t> shape) {
    return View(numbers.as<std::int32_t>() + first, DType::i32, shape);
  };
  const View places = part(0, {rows, m.chosen}), of = part(pairs, {pairs}), starts = part(2 * pairs, {experts + 1});
  const View weights = workspace_.get(backend_, Workspace::weights, DType::f32, rows, m.chosen);
  kernels::Routing how = m.routing;
  how.high_ties = fault != nullptr && fault->high_ties;
  call(&Ops::route, {.scores = scores,
                     .bias = m.bias,
                     .weights = weights,
                     .places = places,
                     .rows = of,
                     .starts = starts,
                     .how = how});

  const auto pairs_of = [&](Workspace::Slot slot, std::int64_t columns) {
    return workspace_.get(backend_, slot, DType::f32, pairs, columns);
  };
  const View x = pairs_of(Workspace::pairs, card_.hidden);
  call(&Ops::pick, {.x = input, .rows = of, .out = x});
  const std::int64_t n = m.down.first.in();
  const View inner = pairs_of(Workspace::inner, 2 * n), gate = inner.columns(0, n), up = inner.columns(n, n);
  if (m.gate_up) {
    multiply_each(x, m.gate_up, starts, inner);
  } else {
    multiply_each(x, m.gate, starts, gate);
    multiply_each(x, m.up, starts, up);
  }
  call(&Ops::gate, {.x = m.neighbours ? inner : gate,
                    .up = m.neighbours ? View() : up,
                    .out = gate,
                    .act = m.act,
                    .neighbours = m.neighbours,
                    .limit = m.limit});
  const View given = pairs_of(Workspace::pairs, card_.hidden);  // `x` is not needed any more
  multiply_each(gate, m.down, starts, given);
  if (fault != nullptr && fault->rough_experts) {
    const View rough = workspace_.get(backend_, Workspace::scratch, DType::bf16, pairs, card_.hidden);
    call(&Ops::convert, {.from = given, .to = rough});
    call(&Ops::convert, {.from = rough, .to = given});
  }
  call(&Ops::mix, {.x = given, .weights = weights, .places = places, .add = m.shared ? out : View(), .out = out});
}

void Pass::multiply_each(const View& x, const Experts& experts, const View& starts, const View& out) {
  call(&Ops::expert_linear,
       {.pairs = prepared(x, experts.first, {.x = {}, .out = out}), .starts = starts, .addresses = experts.addresses});
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

// The same where each query is followed by its gate.
Qkv split_gated(const View& fused, const Card& card) {
  Qkv s = split(fused, card, Fused::parts);
  const std::int64_t gates = card.heads * card.head_dim;
  s.q.stride = {fused.step(0), 2 * card.heads / card.kv_heads * card.head_dim, 2 * card.head_dim, 1};
  s.k.data = s.k.as<float>() + gates, s.v.data = s.v.as<float>() + gates;
  return s;
}

// Keys as [rows, kv_heads, 1, head_dim], the shape that `rotate` takes.
View as_heads(const View& k) {
  View v(k.data, k.dtype, {k[0], k[1], 1, k[2]});
  v.stride = {k.step(0), k.step(1), k[2], 1};
  return v;
}

// Queries or keys as `norm` takes them: [rows, heads * head_dim], or [rows, heads, head_dim] where each head is a row.
View flat(const View& columns, const Card& card, bool all_heads) {
  if (all_heads) return columns;
  View v(columns.data, columns.dtype, {columns[0], columns[1] / card.head_dim, card.head_dim});
  v.stride[0] = columns.step(0);
  return v;
}

}  // namespace

void Pass::turn(const View& all_q, const View& all_k, int rotation) {
  each_run([&](std::int64_t first, std::int64_t rows, const Fault* fault) {
    const bool otherwise = fault != nullptr && fault->rotary == Fault::Rotary::other_layers;
    const int by = otherwise ? deviation_->rotation_of(rotation) : rotation;
    if (by >= 0) rotate(all_q.rows(first, rows), all_k.rows(first, rows), by, first);
  });
  if (deviation_ != nullptr && rotation >= 0) {
    const Rotation& r = rotations_[static_cast<std::size_t>(rotation)];
    const auto [cos, sin] = angles_of(rotation);
    deviation_->misrotate(all_q, all_k, cos, sin, r);
  }
}

std::pair<View, View> Pass::angles_of(int rotation) const {
  std::int64_t first = 0;
  for (const Rotation& r : rotations_.first(static_cast<std::size_t>(rotation))) first += std::ssize(r.frequencies);
  const std::int64_t n = std::ssize(rotations_[static_cast<std::size_t>(rotation)].frequencies);
  return {cos_.columns(first, n), sin_.columns(first, n)};
}

void Pass::rotate(const View& q, const View& k, int rotation, std::int64_t first_row) {
  const auto [cos, sin] = angles_of(rotation);
  const bool neighbours = rotations_[static_cast<std::size_t>(rotation)].neighbours;
  for (const View& x : {q, k}) {
    call(&Ops::rotate,
         {.x = x, .cos = cos.rows(first_row, x[0]), .sin = sin.rows(first_row, x[0]), .neighbours = neighbours});
  }
}

// Columns of Fused::shards as those of Fused::parts. Each head has a key and a value of its own.
void Pass::collect_shards(const View& shards, const View& parts) {
  const std::int64_t all = shards[1] / 3, own = all / 4;
  for (std::int64_t i = 0; i < 4; ++i) {
    for (const auto& [from, to] : {std::pair{0, 0}, {1, 2}, {2, 1}}) {
      call(&Ops::scale,
           {.x = shards.columns((3 * i + from) * own, own), .out = parts.columns(to * all + i * own, own)});
    }
  }
}

Branch Pass::attend(const View& input, const Attention& a) {
  tap_embedded();
  const std::int64_t gates = a.gated ? card_.heads * card_.head_dim : 0;
  const std::int64_t width = gates + (card_.heads + 2 * card_.kv_heads) * card_.head_dim;
  const View fused = buffer(Workspace::qkv, width);
  const auto product = [&](const Projection& p, const View& out) {
    multiply(input, p, {.x = {}, .out = out, .clip = a.clip});
  };
  if (a.qkv && a.fused == Fused::shards) {
    const View shards = buffer(Workspace::inner, width);
    product(a.qkv, shards);
    collect_shards(shards, fused);
  } else if (a.qkv) {
    product(a.qkv, fused);
  } else {
    const std::int64_t q = a.q.out(), k = a.k.out();
    product(a.q, fused.columns(0, q));
    product(a.k, fused.columns(q, k));
    product(a.v, fused.columns(q + k, k));
  }
  const Qkv s = a.gated ? split_gated(fused, card_) : split(fused, card_, a.fused);
  const auto normalise_heads = [&](std::int64_t first, std::int64_t rows, const Fault* fault) {
    if (fault != nullptr && fault->bare_heads) return;
    const View part = fused.rows(first, rows);
    View q = flat(part.columns(0, card_.heads * card_.head_dim), card_, a.norms->all_heads);
    const View k = flat(part.columns(gates + card_.heads * card_.head_dim, card_.kv_heads * card_.head_dim), card_,
                        a.norms->all_heads);
    if (a.gated) q.stride[1] = 2 * card_.head_dim;
    normalise(a.norms->q, q, q);
    normalise(a.norms->k, k, k);
  };
  if (a.norms && !a.norms->after_rotation) each_run(normalise_heads);
  turn(s.q, as_heads(s.k), a.rotation);
  if (a.norms && a.norms->after_rotation) each_run(normalise_heads);
  const PastShape& shape = feeds_[0].past->shape();
  const kernels::PastLayer layer = shape.layer(with_keys_);
  const bool window = shape.sees_window(with_keys_++);
  const kernels::Batch batch = window ? window_batch_ : batch_;
  call(&Ops::append, {.k = s.k, .v = s.v, .batch = batch, .layer = layer});
  const View context = buffer(Workspace::context, card_.heads * card_.head_dim);
  View heads(context.data, DType::f32, {rows_, card_.heads, card_.head_dim});
  heads.stride[0] = context.step(0);
  const kernels::Attend all{.q = s.q,
                            .out = heads,
                            .slopes = a.alibi.slopes,
                            .factors = factors_,
                            .sinks = a.sinks,
                            .batch = batch,
                            .layer = layer,
                            .scale = a.scale,
                            .alibi_scale = a.alibi.scale,
                            .alibi_bf16 = a.alibi.bf16,
                            .causal = a.causal,
                            .window = a.window,
                            .cap = a.cap};
  deviation_ == nullptr ? call(&Ops::attend, all) : deviation_->attend(all, window ? window_sequences_ : sequences_);
  if (taps_ != nullptr) tap(taps_->attended.emplace_back(), context);
  if (a.gated) {
    View gate(fused.as<float>() + card_.head_dim, DType::f32, {rows_, card_.heads, card_.head_dim});
    gate.stride = {fused.step(0), 2 * card_.head_dim, 1, 0};
    call(&Ops::gate, {.x = gate, .up = heads, .out = heads, .act = Act::sigmoid});
  }
  return {context, &a.out};
}

void Pass::convolve(const View& x, const Filter& filter, const View& out) {
  const std::size_t at = feeds_[0].past->shape().state_at(with_state_);
  each_piece([&](const kernels::Batch& piece) {
    call(&Ops::convolve, {.x = x,
                          .weight = filter.weight,
                          .bias = filter.bias,
                          .out = out,
                          .act = filter.act,
                          .batch = piece,
                          .at = at});
  });
}

Branch Pass::convolve(const View& input, const ShortConvolution& c) {
  tap_embedded();
  const std::int64_t n = c.filter.channels();
  const View fused = buffer(Workspace::qkv, 3 * n), out = buffer(Workspace::context, n);
  const View before = fused.columns(0, n), after = fused.columns(n, n), x = fused.columns(2 * n, n);
  multiply(input, c.in, {.x = {}, .out = fused});
  call(&Ops::gate, {.x = x, .up = before, .out = x, .act = Act::identity});
  convolve(x, c.filter, out);
  call(&Ops::gate, {.x = out, .up = after, .out = out, .act = Act::identity});
  ++with_state_;
  return {out, &c.out};
}

namespace {

// Columns as heads [rows, heads, dim].
View by_heads(const View& columns, std::int64_t heads) {
  View v(columns.data, columns.dtype, {columns[0], heads, columns[1] / heads});
  v.stride[0] = columns.step(0);
  return v;
}

}  // namespace

Branch Pass::recur(const View& input, const DeltaNet& net) {
  tap_embedded();
  const PastShape& shape = feeds_[0].past->shape();
  const std::int64_t kn = net.key_heads * net.keys, vn = net.heads * net.values;
  const View fused = buffer(Workspace::qkv, 2 * kn + 2 * vn + 2 * net.heads);
  const View raw = fused.columns(0, 2 * kn + vn), gate = fused.columns(2 * kn + vn, vn);
  const View b = fused.columns(2 * (kn + vn), net.heads), a = fused.columns(2 * (kn + vn) + net.heads, net.heads);
  multiply(input, net.qkv, {.x = {}, .out = raw});
  multiply(input, net.gate, {.x = {}, .out = gate});
  multiply(input, net.b, {.x = {}, .out = b});
  multiply(input, net.a, {.x = {}, .out = a});
  const View mixed = buffer(Workspace::inner, 2 * kn + vn);
  convolve(raw, net.filter, mixed);
  const View q = by_heads(mixed.columns(0, kn), net.key_heads), k = by_heads(mixed.columns(kn, kn), net.key_heads);
  normalise(net.q, q, q);
  normalise(net.k, k, k);
  const View out = buffer(Workspace::context, vn), heads = by_heads(out, net.heads);
  const std::size_t at = shape.state_at(with_state_) + shape.states[with_state_].convolution_bytes();
  each_piece([&](const kernels::Batch& piece) {
    call(&Ops::recur, {.q = q,
                       .k = k,
                       .v = by_heads(mixed.columns(2 * kn, vn), net.heads),
                       .a = a,
                       .b = b,
                       .rate = net.rate,
                       .bias = net.bias,
                       .out = heads,
                       .batch = piece,
                       .at = at});
  });
  normalise(net.norm, heads, heads);
  call(&Ops::gate, {.x = gate, .up = out, .out = out, .act = Act::silu});
  ++with_state_;
  return {out, &net.out};
}

Branch Pass::recur(const View& input, const Scan& scan) {
  tap_embedded();
  // A fault of calls of one token, which have no other rows beside them.
  const Feed& feed = feeds_[0];
  const bool unlimited =
      feed.fault != nullptr && feed.fault->state == Fault::State::unlimited && feed.past->length() > 0 && rows_ == 1;
  const PastShape& shape = feeds_[0].past->shape();
  const std::int64_t n = scan.heads * scan.values, kn = scan.groups * scan.keys, channels = n + 2 * kn;
  const View fused = buffer(Workspace::qkv, n + channels + scan.heads);
  const View gate = fused.columns(0, n), steps = fused.columns(n + channels, scan.heads);
  multiply(input, scan.in, {.x = {}, .out = fused});
  const View mixed = buffer(Workspace::inner, channels), out = buffer(Workspace::context, n);
  convolve(fused.columns(n, channels), scan.filter, mixed);
  const std::size_t at = shape.state_at(with_state_) + shape.states[with_state_].convolution_bytes();
  each_piece([&](const kernels::Batch& piece) {
    call(&Ops::recur, {.q = by_heads(mixed.columns(n + kn, kn), scan.groups),
                       .k = by_heads(mixed.columns(n, kn), scan.groups),
                       .v = by_heads(mixed.columns(0, n), scan.heads),
                       .a = steps,
                       .rate = scan.rate,
                       .bias = scan.bias,
                       .skip = scan.skip,
                       .out = by_heads(out, scan.heads),
                       .least = unlimited ? 0 : scan.least,
                       .most = unlimited ? std::numeric_limits<float>::infinity() : scan.most,
                       .batch = piece,
                       .at = at});
  });
  call(&Ops::gate, {.x = gate, .up = out, .out = out, .act = Act::silu});
  const View groups = by_heads(out, scan.groups);
  normalise(scan.norm, groups, groups);
  ++with_state_;
  return {out, &scan.out};
}

void Pass::end_layer() {
  ++layer_;
  if (taps_ == nullptr) return;
  tap(taps_->layers.emplace_back(), x_);
  taps_->attended.resize(taps_->layers.size());
}

void Pass::head() {
  if (want_ == Want::all) return;
  rows_ = batch_.count;
  const View out = buffer(Workspace::picked, card_.hidden);
  call(&Ops::pick, {.x = x_, .rows = wanted_, .out = out});
  x_ = out;
  x_slot_ = Workspace::picked;
}

View Pass::dense(const Projection& projection, Act act) {
  const View out = buffer(spare(), projection.out());
  multiply(x_, projection, {.x = {}, .out = out, .act = act});
  return out;
}

void Pass::logits(const View& input, const Projection& output, float scale, float cap) {
  if (taps_ != nullptr) tap(taps_->head, input);
  const View out = result();
  multiply(input, output, {.x = {}, .out = out});
  if (scale != 1 || cap > 0) call(&Ops::scale, {.x = out, .out = out, .factor = scale, .cap = cap});
}

View Pass::result() {
  const std::int64_t rows = want_ == Want::all ? ids_[0] : batch_.count;
  return workspace_.get(backend_, Workspace::logits, DType::f32, rows, card_.vocab);
}

void Pass::commit() noexcept {
  // A fault may read what no window should reach.
  for (const Feed& feed : feeds_) feed.past->commit(feed.ids, feed.fault == nullptr);
}

}  // namespace pkv::model
