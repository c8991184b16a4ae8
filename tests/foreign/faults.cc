#include "foreign/faults.h"

#include <algorithm>
#include <cmath>

namespace pkv::foreign {
namespace {

using Values = std::vector<double>;

Shape with_windows(std::vector<int> windows) { return {.windows = std::move(windows)}; }
Shape with_experts() { return {.experts = 6}; }
Shape with_states() { return {.layers = 4, .recurrent = {true, false, true, true}}; }

Fault sees(std::function<bool(const Call&, int layer, int head, int row, int key, bool healthy)> see) {
  Fault f;
  f.sees = [see](const Call& c, int layer, int head, int row, int key, bool healthy) {
    return c.continues ? see(c, layer, head, row, key, healthy) : healthy;
  };
  return f;
}

Fault at(std::function<int(const Call&, int row)> position) {
  Fault f;
  f.position = [position](const Call& c, int row) { return c.continues ? position(c, row) : c.past + row; };
  return f;
}

Fault reads(std::function<void(const Call&, int layer, Kept&)> edit) {
  Fault f;
  f.reads = std::move(edit);
  return f;
}

Fault logits(std::function<void(const Call&, Values& row)> change) {
  Fault f;
  f.logits = [change](const Call& c, Values& row, int) {
    if (c.continues) change(c, row);
  };
  return f;
}

Fault switched(void (*on)(Fault&)) {
  Fault f;
  on(f);
  return f;
}

bool in_16_bits(const Call& c) { return c.format->bits < 24; }

constexpr int kKeys = 2 * 8;  // numbers of a token's keys: heads and their size

void rotate_tokens(Values& all, int by) {
  const int n = static_cast<int>(all.size()) / kKeys;
  if (n > 0) std::rotate(all.begin(), all.begin() + (by % n) * kKeys, all.end());
}

// In steps of the largest number of each token.
void quantise(Values& all, double steps) {
  for (std::size_t from = 0; from < all.size(); from += 8) {
    double largest = 0;
    for (std::size_t i = from; i < from + 8; ++i) largest = std::max(largest, std::abs(all[i]));
    if (largest == 0) continue;
    for (std::size_t i = from; i < from + 8; ++i) all[i] = std::nearbyint(all[i] / largest * steps) * largest / steps;
  }
}

Fault quantised(double steps) {
  return reads([steps](const Call&, int, Kept& k) { quantise(k.keys, steps), quantise(k.values, steps); });
}

void add_healthy(std::vector<Planted>& all) {
  const auto healthy = [&](const char* name, Shape shape) {
    all.push_back({.name = name, .fault = {}, .right = {"rounding"}, .shape = std::move(shape), .healthy = true});
  };
  healthy("healthy", {});
  healthy("healthy, windows", with_windows({6, 0, 6}));
  healthy("healthy, one window", with_windows({9, 9, 9}));
  healthy("healthy, experts", with_experts());
  healthy("healthy, states", with_states());
  for (unsigned seed = 2; seed < 6; ++seed) healthy("healthy, other weights", {.seed = seed});
}

void add_masks(std::vector<Planted>& all) {
  all.push_back({"past ignored",
                 sees([](const Call& c, int, int, int, int key, bool ok) { return ok && key >= c.past; }),
                 {"past-ignored", "new-tokens-alone"}});
  all.push_back({"mask top left",
                 sees([](const Call&, int, int, int row, int key, bool) { return key <= row; }),
                 {"top-left-mask"}});
  all.push_back(
      {"later tokens seen", sees([](const Call&, int, int, int, int, bool) { return true; }), {"later-tokens-seen"}});
  all.back().shows_in = Planted::Rows::several;
  all.push_back({"sinks evicted",
                 sees([](const Call&, int, int, int, int key, bool ok) { return ok && key >= 3; }),
                 {"first-dropped"}});
  const auto window = [](int n) {
    return sees([n](const Call& c, int, int, int row, int key, bool ok) { return ok && key > c.past + row - n; });
  };
  all.push_back({"window of 6", window(6), {"window"}});
  all.push_back({"window of 6, where windows are 9", window(6), {"window"}, with_windows({9, 9, 9})});
  all.push_back({"window of global layers", window(6), {"window"}, with_windows({6, 0, 6})});
  all.push_back({"window one key too wide",
                 sees([](const Call& c, int layer, int, int row, int key, bool ok) {
                   return ok || (layer != 1 && key == c.past + row - 6);
                 }),
                 {},
                 with_windows({6, 0, 6})});
  all.push_back({"past ignored, with windows",
                 sees([](const Call& c, int, int, int, int key, bool ok) { return ok && key >= c.past; }),
                 {"past-ignored", "new-tokens-alone"},
                 with_windows({6, 0, 6})});
  all.push_back({"own key unseen",
                 sees([](const Call& c, int, int, int row, int key, bool ok) { return ok && key != c.past + row; }),
                 {"own-key-unseen"}});
  all.push_back({"last of the past masked",
                 sees([](const Call& c, int, int, int, int key, bool ok) { return ok && key != c.past - 1; }),
                 {"last-of-past-lost"}});
  all.push_back({"middle of the past lost",
                 sees([](const Call& c, int, int, int, int key, bool ok) {
                   return ok && (key < c.past / 2 || key >= c.past / 2 + 4 || key >= c.past);
                 }),
                 {"keys-lost"}});
  all.push_back(
      {"one layer ignores the past",
       sees([](const Call& c, int layer, int, int, int key, bool ok) { return ok && (layer != 1 || key >= c.past); }),
       {"layer-ignores-past"}});
  all.push_back({"one head ignores the past",
                 sees([](const Call& c, int layer, int head, int, int key, bool ok) {
                   return ok && (layer != 1 || head != 2 || key >= c.past);
                 }),
                 {"head-ignores-past"}});
}

void add_kernels(std::vector<Planted>& all) {
  const auto partial_block = [](const Call& c, int, int, int row, int key, bool ok) {
    const int end = (c.length() - 1) / 8 * 8;
    return ok && (c.rows > 1 || key < end || key >= c.past + row || c.length() % 8 == 0);
  };
  all.push_back({"one-token kernel drops a partial block", sees(partial_block), {"keys-lost", "one-token-call"}});
  all.back().shows_in = Planted::Rows::one;
  all.push_back({"kernel loses 4 keys, in 16 bits only",
                 sees([](const Call& c, int, int, int, int key, bool ok) {
                   return ok && (!in_16_bits(c) || key < 5 || key >= 9 || key >= c.past);
                 }),
                 {"keys-lost"},
                 {},
                 {"bf16", "fp16"}});
  all.push_back({"kernel loses a page, in 16 bits only",
                 sees([](const Call& c, int, int, int, int key, bool ok) {
                   return ok && (!in_16_bits(c) || key < 8 || key >= 16 || key >= c.past);
                 }),
                 {"keys-lost", "first-dropped", "past-ignored"},  // of ten tokens the page is the end

                 {},
                 {"bf16", "fp16"}});
  all.push_back({"split-K forgets a block, in fp32 only",
                 sees([](const Call& c, int, int, int, int key, bool ok) {
                   return ok && (c.format->bits != 24 || key < 4 || key >= 8 || key >= c.past);
                 }),
                 {"keys-lost"},
                 {},
                 {"fp32"}});
  all.push_back({"only the first call is wrong",
                 sees([](const Call& c, int, int, int, int key, bool ok) { return ok && (c.number > 0 || key >= 4); }),
                 {"first-dropped"}});
  all.push_back({"scale by length",
                 switched([](Fault& f) { f.scale = [](const Call& c) { return std::log(4.0 + c.length()) / 3; }; }),
                 {"scores-scaled"}});
  all.push_back({"one-token kernel's act differs",
                 switched([](Fault& f) {
                   f.gated = [](const Call& c, int, int, double x) {
                     return c.continues && c.rows == 1 ? 0.96 * x : x;
                   };
                 }),
                 {"one-token-call"},
                 {}});
  all.back().shows_in = Planted::Rows::one;
}

void add_places(std::vector<Planted>& all) {
  all.push_back({"positions restart", at([](const Call&, int row) { return row; }), {"position-restarted"}});
  all.push_back(
      {"positions one too far", at([](const Call& c, int row) { return c.past + row + 1; }), {"position-one-far"}});
  all.push_back(
      {"positions one short", at([](const Call& c, int row) { return c.past + row - 1; }), {"position-one-short"}});
  all.push_back(
      {"positions stop", at([](const Call& c, int row) { return std::min(c.past + row, 9); }), {"position-stops"}});
  all.push_back(
      {"padding counted", at([](const Call& c, int row) { return c.past + row + 3; }), {"position-from-padding"}});
  all.push_back({"mask top left, positions restart",
                 [] {
                   Fault f = sees([](const Call&, int, int, int row, int key, bool) { return key <= row; });
                   f.position = at([](const Call&, int row) { return row; }).position;
                   return f;
                 }(),
                 {"top-left-mask + position-restarted", "top-left-mask"}});  // of one key the place does not matter
  const auto turned = [](double by) {
    Fault f;
    f.angle_position = [by](const Call& c, bool, double p) { return c.continues ? by * p : p; };
    return f;
  };
  all.push_back({"not rotated", turned(0), {"rotary-missing", "position-restarted"}});
  all.push_back({"rotated twice", turned(2), {"rotary-twice"}});
  all.push_back(
      {"rotated in neighbours", switched([](Fault& f) { f.rotary_interleaved = true; }), {"rotary-interleaved"}});
  all.push_back({"queries rotated late",
                 switched([](Fault& f) {
                   f.angle_position = [](const Call& c, bool query, double p) {
                     return c.continues && query ? c.length() : p;
                   };
                 }),
                 {"query-rotated-late", "position-one-far"}});
  all.push_back({"dynamic NTK",
                 switched([](Fault& f) {
                   f.rotary_base = [](const Call& c) { return c.length() > 12 ? c.length() / 12.0 : 1; };
                 }),
                 {}});
}

void add_contents(std::vector<Planted>& all) {
  all.push_back({"past absent", switched([](Fault& f) { f.keeps_nothing = true; }), {"past-absent"}});
  all.push_back(
      {"past not read", switched([](Fault& f) { f.past_not_read = true; }), {"new-tokens-alone", "past-ignored"}});
  all.push_back({"heads shifted",
                 reads([](const Call&, int, Kept& k) {
                   for (Values* v : {&k.keys, &k.values}) {
                     for (std::size_t i = 0; i < v->size(); i += kKeys)
                       std::rotate(v->begin() + i, v->begin() + i + 8, v->begin() + i + kKeys);
                   }
                 }),
                 {"heads-shifted"}});
  all.push_back({"heads tiled wrongly",
                 switched([](Fault& f) { f.group = [](const Call&, int head) { return head % 2; }; }),
                 {"heads-tiled"}});
  all.push_back(
      {"values shifted", reads([](const Call&, int, Kept& k) { rotate_tokens(k.values, 1); }), {"values-shifted"}});
  all.push_back({"keys and values swapped",
                 reads([](const Call&, int, Kept& k) { std::swap(k.keys, k.values); }),
                 {"keys-and-values-swapped"}});
  all.push_back({"ring out of order",
                 reads([](const Call& c, int, Kept& k) {
                   rotate_tokens(k.keys, c.past % 5), rotate_tokens(k.values, c.past % 7);
                 }),
                 {"ring-out-of-order", "values-shifted"}});  // which is the same by one

  all.push_back({"a zero key is attended to",
                 reads([](const Call&, int, Kept& k) {
                   std::fill_n(k.keys.begin(), kKeys, 0.0);
                   std::fill_n(k.values.begin(), kKeys, 0.0);
                 }),
                 {"zeros-in-past"}});
  all.push_back({"a page is lost",
                 reads([](const Call&, int, Kept& k) {
                   for (Values* v : {&k.keys, &k.values}) {
                     for (std::size_t i = 4 * kKeys; i < std::min<std::size_t>(8 * kKeys, v->size()); ++i) (*v)[i] = 0;
                   }
                 }),
                 {"zeros-in-past"}});
  all.push_back({"past in int8", quantised(127), {"past-in-int8"}});
  all.push_back({"past in int4", quantised(7), {"past-in-int4"}});
  all.push_back({"past in fp8",
                 switched([](Fault& f) { f.format_of_past = [](double x) { return rounded(x, 4, -6); }; }),
                 {"past-in-fp8"}});
  all.push_back({"past in bf16",
                 switched([](Fault& f) { f.format_of_past = [](double x) { return rounded(x, 8, -126); }; }),
                 {"past-in-bf16"},
                 {},
                 {"fp32", "fp16"}});
  all.push_back({"past in bf16, and a fault",
                 [] {
                   Fault f = logits([](const Call&, Values& row) { row[3] += 0.4; });
                   f.format_of_past = [](double x) { return rounded(x, 8, -126); };
                   return f;
                 }(),
                 {},
                 {},
                 {"fp32"}});
  all.push_back({"another text's past",
                 switched([](Fault& f) { f.prefix_by_length = true; }),
                 {"past-of-another-text"},
                 {},
                 {"fp32", "bf16", "fp16"}});
  all.back().needs_probes = true;
  all.push_back({"logits negated",
                 logits([](const Call&, Values& row) {
                   for (double& x : row) x = -x;
                 }),
                 {}});
}

void add_programs(std::vector<Planted>& all) {
  const std::vector<std::string> formats{"fp32", "bf16", "fp16"};
  all.push_back({"dropout left on", switched([](Fault& f) { f.dropout = 0.1; }), {"not-deterministic"}});
  all.push_back({"dropout with a past only",
                 logits([](const Call&, Values& row) {
                   static std::mt19937 dice(5);
                   for (double& x : row) x += std::uniform_real_distribution<double>(0, 0.5)(dice);
                 }),
                 {"not-deterministic"}});
  all.push_back({"logits of the call before",
                 switched([](Fault& f) {
                   f.logits = [last = std::make_shared<Values>()](const Call& c, Values& row, int) {
                     const Values own = row;
                     if (c.continues && !last->empty()) row = *last;
                     *last = own;
                   };
                 }),
                 {"one-token-call"}});
  all.push_back({"outlier columns of the call",
                 switched([](Fault& f) { f.outlier_columns_of_call = true; }),
                 {"rows-not-independent"}});
  all.push_back(
      {"experts with a capacity",
       switched([](Fault& f) { f.most_of_expert = [](const Call& c, int) { return std::max(1, c.rows / 4); }; }),
       {"rows-not-independent"},
       with_experts()});
  all.push_back({"attends both ways",
                 switched([](Fault& f) { f.sees = [](const Call&, int, int, int, int, bool) { return true; }; }),
                 {"attends-both-ways"}});
  all.push_back({"state dropped in calls of several",
                 switched([](Fault& f) { f.forgets_state = [](const Call& c, int) { return c.rows > 1; }; }),
                 {"several-token-call"},
                 with_states()});
  all.back().shows_in = Planted::Rows::several;
  all.push_back({"state dropped in one-token calls",
                 switched([](Fault& f) { f.forgets_state = [](const Call& c, int) { return c.rows == 1; }; }),
                 {"one-token-call"},
                 with_states()});
  all.back().shows_in = Planted::Rows::one;
  all.push_back({"state kept in the module",
                 switched([](Fault& f) { f.state_in_module = true; }),
                 {"past-shared", "past-changed-in-place"},
                 with_states(),
                 formats});
  all.back().needs_probes = true;
  all.push_back({"one buffer for all texts",
                 switched([](Fault& f) { f.one_buffer = true; }),
                 {"past-shared", "past-of-another-text"},
                 {},
                 formats});
  all.back().needs_probes = true;
  all.push_back({"a prefill writes into an older past",
                 switched([](Fault& f) { f.writes_into_older = true; }),
                 {"past-shared"},
                 {},
                 formats});
  all.back().needs_probes = true;
  all.push_back(
      {"rows of a batch swapped", switched([](Fault& f) { f.swaps_lines = true; }), {"batch-rows-mixed"}, {}, formats});
  all.back().needs_probes = true;
  all.push_back({"a copy shares its memory",
                 switched([](Fault& f) { f.copies_share = true; }),
                 {"past-changed-in-place", "past-shared"},
                 {},
                 formats});
  all.back().needs_probes = true;
  all.push_back({"beams are not reordered",
                 switched([](Fault& f) { f.keeps_order = true; }),
                 {"rows-not-reordered"},
                 {},
                 formats});
  all.back().needs_probes = true;
  all.push_back({"drafts are not cropped",
                 switched([](Fault& f) { f.crop_keeps_all = true; }),
                 {"past-not-rewound"},
                 {},
                 formats});
  all.back().needs_probes = true;
  all.push_back({"one too far after a crop",
                 switched([](Fault& f) { f.off_after_crop = 1; }),
                 {"position-one-far", "past-not-rewound"},
                 {},
                 formats});
  all.back().needs_probes = true;
}

}  // namespace

std::vector<Planted> all_faults() {
  std::vector<Planted> all;
  add_healthy(all);
  add_masks(all);
  add_kernels(all);
  add_places(all);
  add_contents(all);
  add_programs(all);
  return all;
}

}  // namespace pkv::foreign
