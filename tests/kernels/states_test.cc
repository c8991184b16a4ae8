// convolve and recur against naive, and their row law: it does not matter where calls end, which sequences share one,
// or whether a state is written over the one that it comes from.
#include <rapidcheck.h>

#include <cmath>
#include <optional>

#include "support.h"

namespace pkv::kernels {
namespace {

View flat(const Tensor& t) { return View(t.view().data, DType::f32, {t.columns()}); }

// Rows of some tokens of several texts in one call; a text's own place in the inputs is where its rows lie.
struct Share {
  std::int64_t first = 0, rows = 0;
  std::vector<float>*state, *next;  // `state` empty: zeros
};

template <class Call>
void run(const Ops& ops, Device& device, void (*operation)(Device&, const Call&) noexcept, Call call,
         const std::vector<Share>& shares) {
  std::vector<Sequence> all;
  for (const Share& s : shares) {
    all.push_back({.first_row = s.first,
                   .rows = s.rows,
                   .state = s.state->empty() ? nullptr : reinterpret_cast<const std::byte*>(s.state->data()),
                   .next = reinterpret_cast<std::byte*>(s.next->data())});
  }
  const Sequences batch(ops, device, all);
  call.batch = batch;
  operation(device, call);
}

struct Convolution {
  std::int64_t rows, channels, taps;
  bool bias = false;
  Act act = Act::identity;
  std::size_t before = 0;  // floats in a state before its own

  std::size_t floats() const { return before + static_cast<std::size_t>((taps - 1) * channels) + 1; }
  std::vector<float> state() const { return std::vector<float>(floats(), 77); }

  Tensor x = Tensor(DType::f32, {rows, channels}, channels + 3).random(1, 2);
  Tensor weight = Tensor(DType::f32, {taps, channels}).random(2), offsets = Tensor(DType::f32, {1, channels}).random(3);
  Tensor out = Tensor(DType::f32, {rows, channels}, channels + 1);
  Convolve call() const {
    return {.x = x.view(),
            .weight = weight.view(),
            .bias = bias ? flat(offsets) : View(),
            .out = out.view(),
            .act = act,
            .batch = {},
            .at = before * sizeof(float)};
  }
};

struct Recurrence {
  std::int64_t rows, key_heads, per, keys, values;
  bool delta = true;
  float least = 0, most = std::numeric_limits<float>::infinity();
  std::size_t before = 0;

  std::int64_t heads() const { return key_heads * per; }
  std::size_t floats() const { return before + static_cast<std::size_t>(heads() * keys * values) + 1; }
  std::vector<float> state() const { return std::vector<float>(floats(), 77); }

  // Keys and queries no longer than 1, so that what goes into a matrix cannot grow.
  float unit = 1 / std::sqrt(static_cast<float>(keys));
  Tensor q = Tensor(DType::f32, {rows, key_heads, keys}, key_heads* keys + 5).random(1, unit);
  Tensor k = Tensor(DType::f32, {rows, key_heads, keys}, key_heads* keys + 2).random(2, unit);
  Tensor v = Tensor(DType::f32, {rows, heads(), values}, heads() * values + 1).random(3);
  Tensor a = Tensor(DType::f32, {rows, heads()}, heads() + 2).random(4, 6),
         b = Tensor(DType::f32, {rows, heads()}).random(5, 3);
  Tensor rate = Tensor(DType::f32, {1, heads()}).fill(0.4f), bias = Tensor(DType::f32, {1, heads()}).random(6);
  Tensor skip = Tensor(DType::f32, {1, heads()}).random(7);
  Tensor out = Tensor(DType::f32, {rows, heads(), values}, heads() * values + 3);
  Recur call() const {
    return {.q = q.view(),
            .k = k.view(),
            .v = v.view(),
            .a = a.view(),
            .b = delta ? b.view() : View(),
            .rate = flat(rate),
            .bias = flat(bias),
            .skip = delta ? View() : flat(skip),
            .out = out.view(),
            .least = least,
            .most = most,
            .batch = {},
            .at = before * sizeof(float)};
  }
};

template <class Case>
auto operation_of(const Ops& ops) {
  if constexpr (std::is_same_v<Case, Convolution>) {
    return ops.convolve;
  } else {
    return ops.recur;
  }
}

struct Outcome {
  Tensor out;
  std::vector<float> state;
};

// The whole text in one call, from a state that the same table has made of the rows themselves, or from zeros.
template <class Case>
Outcome whole(const Ops& ops, const Case& given, bool from_zeros) {
  Case c = given;  // a table of its own
  c.out = Tensor(DType::f32, {c.rows, c.out.columns()}, c.out.columns() + 1);
  if constexpr (std::is_same_v<Case, Recurrence>) {
    c.out = Tensor(DType::f32, {c.rows, c.heads(), c.values}, c.heads() * c.values + 3);
  }
  const auto device = ops.open(2);
  std::vector<float> none, state = c.state();
  if (!from_zeros) run(ops, *device, operation_of<Case>(ops), c.call(), {{0, c.rows, &none, &state}});
  run(ops, *device, operation_of<Case>(ops), c.call(), {{0, c.rows, from_zeros ? &none : &state, &state}});
  c.out.check_guard();
  return {c.out, state};
}

void expect_states_near(const std::vector<float>& got, const std::vector<float>& want, std::size_t before, double bound,
                        const std::string& what) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    const bool beside = i < before || i + 1 == want.size();  // not to be touched
    ASSERT_NEAR(got[i], want[i], beside ? 0 : bound) << what << ", state " << i;
  }
}

TEST(Convolve, EqualsNaive) {
  for (const std::int64_t channels : {1, 3, 8, 15, 16, 33, 70, 257}) {
    for (const std::int64_t taps : {2, 3, 4, 7, 16}) {
      const std::int64_t rows = 1 + (channels + taps) % 9;
      for (const bool zeros : {true, false}) {
        const Convolution c{.rows = rows,
                            .channels = channels,
                            .taps = taps,
                            .bias = channels % 2 == 0,
                            .act = taps % 2 == 0 ? Act::silu : Act::identity,
                            .before = static_cast<std::size_t>(taps)};
        const Outcome want = whole(table("naive"), c, zeros);
        for_each_table([&](const Ops& ops) {
          const std::string what = std::to_string(channels) + " channels, " + std::to_string(taps) + " taps";
          const Outcome got = whole(ops, c, zeros);
          // `taps` products of values below 2, each rounded with its sum; silu within 5 units of a slope below 1.1.
          const double bound = 2 * kUnit * (2. * static_cast<double>(taps * taps) + 5 * 2. * static_cast<double>(taps));
          expect_near(
              got.out, want.out, [&](auto, auto) { return bound; }, what);
          expect_states_near(got.state, want.state, c.before, 0, what);
        });
      }
    }
  }
}

TEST(Recur, EqualsNaive) {
  for (const std::int64_t values : {1, 5, 16, 17, 32, 40, 65, 130}) {
    for (const std::int64_t keys : {1, 6, 16, 33, 128, 256}) {
      const std::int64_t rows = keys == 33 ? 70 : 1 + (values + keys) % 9;
      for (const bool zeros : {true, false}) {
        Recurrence c{.rows = rows,
                     .key_heads = 1 + values % 2,
                     .per = 1 + keys % 3,
                     .keys = keys,
                     .values = values,
                     .delta = (values + keys) % 2 == 0,
                     .before = 3};
        if (values == 5) c.least = 0.5f, c.most = 1.5f;
        const Outcome want = whole(table("naive"), c, zeros);
        for_each_table([&](const Ops& ops) {
          const std::string what =
              std::to_string(keys) + " keys, " + std::to_string(values) + " values, " + std::to_string(rows) + " rows";
          const Outcome got = whole(ops, c, zeros);
          // A token's sum over keys is off by sqrt(keys) units of what it adds up, a handful of operations by one each;
          // what one token leaves is never made larger. Steps are up to 8, matrices as large as all steps together.
          const auto tokens = static_cast<double>(zeros ? rows : 2 * rows);
          const double largest = c.delta ? 1 + std::sqrt(tokens) : 8 * std::sqrt(tokens);
          const double bound = 4 * kUnit * tokens * (std::sqrt(static_cast<double>(keys)) + 8) * largest;
          expect_near(
              got.out, want.out, [&](auto, auto) { return bound; }, what);
          expect_states_near(got.state, want.state, c.before, bound, what);
        });
      }
    }
  }
}

// A text fed in pieces, each beside some rows of another text that are not numbers, from one state into itself or into
// another: the bits of one call.
template <class Case>
void expect_row_law(const Ops& ops, Case c, std::int64_t tokens) {
  const Outcome once = whole(ops, c, true);
  const auto device = ops.open(*rc::gen::element(1, 2, 3));
  std::vector<float> state, next = c.state(), other, other_next = c.state();
  for (std::int64_t at = 0; at < tokens;) {
    const std::int64_t n = std::min(tokens - at, *rc::gen::element<std::int64_t>(1, 1, 2, 3, 5, 63, 64, 65));
    if (state.empty() || *rc::gen::arbitrary<bool>()) {
      run(ops, *device, operation_of<Case>(ops), c.call(), {{tokens, 1, &other, &other_next}, {at, n, &state, &next}});
      state = next;
    } else {
      run(ops, *device, operation_of<Case>(ops), c.call(), {{at, n, &state, &state}});
      next = state;
    }
    at += n;
  }
  for (std::int64_t r = 0; r < tokens; ++r) {
    if (bits_of(c.out, r) != bits_of(once.out, r)) RC_FAIL("row " + std::to_string(r) + " differs");
  }
}

TEST(Convolve, RowLaw) {
  for_each_table([](const Ops& ops) {
    rc::check("in pieces as at once", [&ops] {
      const auto tokens = *rc::gen::element<std::int64_t>(1, 2, 5, 64, 70);
      Convolution c{.rows = tokens,
                    .channels = *rc::gen::element<std::int64_t>(1, 7, 16, 21),
                    .taps = *rc::gen::element<std::int64_t>(2, 3, 4, 9),
                    .act = *rc::gen::element(Act::identity, Act::silu)};
      const Tensor right = c.x;
      c.x = Tensor(DType::f32, {tokens + 1, c.channels}, c.channels + 3);
      c.out = Tensor(DType::f32, {tokens + 1, c.channels});
      for (std::int64_t r = 0; r <= tokens; ++r) {
        for (std::int64_t i = 0; i < c.channels; ++i) {
          c.x.set(r, i, r < tokens ? static_cast<float>(right.get(r, i)) : std::nanf(""));
        }
      }
      expect_row_law(ops, c, tokens);
    });
  });
}

TEST(Recur, RowLaw) {
  for_each_table([](const Ops& ops) {
    rc::check("in pieces as at once", [&ops] {
      const auto tokens = *rc::gen::element<std::int64_t>(1, 2, 5, 64, 70, 130);
      Recurrence c{.rows = tokens + 1,  // the last one is the other text's
                   .key_heads = *rc::gen::element<std::int64_t>(1, 2),
                   .per = *rc::gen::element<std::int64_t>(1, 3),
                   .keys = *rc::gen::element<std::int64_t>(1, 6, 17),
                   .values = *rc::gen::element<std::int64_t>(1, 16, 21, 70),
                   .delta = *rc::gen::arbitrary<bool>()};
      c.v.set(tokens, 0, std::nanf(""));
      c.a.set(tokens, 0, std::nanf(""));
      expect_row_law(ops, c, tokens);
    });
  });
}

}  // namespace
}  // namespace pkv::kernels
