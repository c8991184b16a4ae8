#include "checker/run/inside.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "base/slices.h"
#include "checker/compare/bound.h"
#include "checker/compare/columns.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;

constexpr std::int64_t kMostRows = 16;  // new tokens whose states are compared

struct Apart {
  bool same_bits = true;
  double max_abs = 0, largest = 0;  // |Δ|, and the size of what was right

  void add(std::span<const float> right, std::span<const float> other) {
    for (std::size_t i = 0; i < right.size(); ++i) {
      if (std::bit_cast<std::uint32_t>(right[i]) == std::bit_cast<std::uint32_t>(other[i])) continue;
      same_bits = false;
      const double apart = std::abs(double{right[i]} - other[i]);
      max_abs = std::isnan(apart) ? std::numeric_limits<double>::infinity() : std::max(max_abs, apart);
    }
    largest = std::max(largest, largest_logit(right));
  }
};

// Rows of `width` values: those of one position, of several, or of one head.
std::span<const float> rows(const std::vector<float>& all, std::int64_t width, std::int64_t first, std::int64_t count) {
  return slice(all, first * width, count * width);
}

// How far rounding can move a state after `layers` layers: the bound of a model that ends there.
bool parts(const Setting& setting, const Apart& apart, std::int64_t layers) {
  if (setting.tolerance.same_bits) return !apart.same_bits;
  Description until = setting.description;
  until.layers = std::max<std::int64_t>(layers, 1);
  return apart.max_abs > rounding_bound(until, apart.largest).value;
}

// The same positions in the states of two runs: from another row on in each.
struct Pair {
  const States &right, &other;
  std::int64_t right_row = 0, other_row = 0;

  std::size_t layers() const { return std::min(right.layers.size(), other.layers.size()); }

  Apart after_layer(std::size_t layer, std::int64_t count) const {
    Apart apart;
    apart.add(rows(right.layers[layer], right.width, right_row, count),
              rows(other.layers[layer], right.width, other_row, count));
    return apart;
  }

  Apart of_head(std::size_t layer, std::int64_t head) const {
    Apart apart;
    apart.add(rows(right.attended[layer], right.head_dim, right_row * right.heads + head, 1),
              rows(other.attended[layer], right.head_dim, other_row * right.heads + head, 1));
    return apart;
  }
};

// From which layer on the first `count` states differ: 0 as embedded, then after each layer; -1: none.
std::int64_t first_state(const Setting& setting, const Pair& pair, std::int64_t count) {
  for (std::size_t l = 0; l < pair.layers(); ++l) {
    if (parts(setting, pair.after_layer(l, count), static_cast<std::int64_t>(l))) return static_cast<std::int64_t>(l);
  }
  return -1;
}

// The heads of one layer that differ at the pair's position.
std::vector<std::int64_t> heads_apart(const Setting& setting, const Pair& pair, std::int64_t layer) {
  const auto l = static_cast<std::size_t>(layer);
  std::vector<std::int64_t> heads;
  if (l >= std::min(pair.right.attended.size(), pair.other.attended.size())) return heads;
  if (pair.right.attended[l].empty() || pair.other.attended[l].empty()) return heads;
  for (std::int64_t h = 0; h < pair.right.heads; ++h) {
    if (parts(setting, pair.of_head(l, h), layer + 1)) heads.push_back(h);
  }
  return heads;
}

std::vector<std::int32_t> with_other_end(const WholeText& text, std::int64_t from) {
  std::vector<std::int32_t> mixed(text.ids.begin(), text.ids.begin() + from);
  mixed.insert(mixed.end(), text.other.begin() + from, text.other.end());
  return mixed;
}

States states_of(const Setting& setting, Ids ids, const States& like = {}) {
  const auto session = setting.subject.fresh();
  if (session->look() == nullptr) return {};
  States states = feed_and_look(*session->look(), ids, setting.description.name, like);
  setting.fed(std::ssize(ids));
  return states;
}

Causality not_causal(const Setting& setting, std::int64_t from, double moved) {
  const States right = states_of(setting, setting.text.ids);
  const States other = states_of(setting, with_other_end(setting.text, from), right);
  const std::int64_t state = first_state(setting, {right, other}, from);
  Causality c{
      .holds = Answer::no, .first_layer = std::max<std::int64_t>(state - 1, -1), .moved = moved, .sentence = {}};
  const std::string layer = state < 0 ? "" : fmt::format(", their states from layer {} on", c.first_layer);
  c.sentence = fmt::format("not causal: with other tokens from position {} on, logits before it move by up to {}{}",
                           from, show::short_number(moved), layer);
  return c;
}

}  // namespace

std::set<std::int64_t> changed_for_causality(std::int64_t n) { return {1, std::max<std::int64_t>(n / 2, 1), n - 1}; }

Causality causality(const Setting& setting) {
  const Logits& right = setting.text.logits;
  Apart all;
  std::int64_t worst = 0;
  double moved = 0;
  for (const std::int64_t from : changed_for_causality(std::ssize(setting.text.ids))) {
    const Logits changed = feed(setting, *setting.subject.fresh(), with_other_end(setting.text, from));
    Apart apart;
    apart.add(rows(right.values, right.vocab, 0, from), rows(changed.values, right.vocab, 0, from));
    all.same_bits = all.same_bits && apart.same_bits;
    if (apart.max_abs > moved || worst == 0) moved = apart.max_abs, worst = from;
  }
  if (!std::isfinite(moved)) return {.sentence = "whether the model is causal cannot be told: logits are not finite"};
  if (setting.tolerance.same_bits ? !all.same_bits : moved > setting.tolerance.bound) {
    return not_causal(setting, worst, moved);
  }
  const std::string how =
      all.same_bits ? "keep every bit" : fmt::format("move by {} at most", show::short_number(moved));
  return {
      .holds = Answer::yes, .moved = moved, .sentence = "causal: earlier logits " + how + " when later tokens change"};
}

std::string heads_words(const std::vector<std::int64_t>& heads, std::int64_t all) {
  if (all == 0 || heads.empty()) return "";
  if (all == 1) return ", in its head";
  if (std::ssize(heads) == all) return fmt::format(", in all {} heads", all);
  return heads.size() == 1 ? fmt::format(", in head {} of {}", heads[0], all)
                           : fmt::format(", in {} of {} heads, the first of them {}", heads.size(), all, heads[0]);
}

namespace {

std::string place_words(const Parting& p, Method method) {
  const std::string used = method == Method::pieces ? "" : has_company(method) ? ", beside another," : ", used before,";
  return fmt::format("after a past of {}{} the token at position {}", show::counted(p.past, "token"), used, p.position);
}

std::int64_t rows_in(const States& states) {
  return states.layers.empty() || states.width == 0 ? 0 : std::ssize(states.layers[0]) / states.width;
}

std::vector<LayerDistance> distances(const Pair& pair, std::int64_t count) {
  std::vector<LayerDistance> all;
  for (std::size_t l = 0; l < pair.layers(); ++l) {
    const Apart apart = pair.after_layer(l, count);
    all.push_back({apart.max_abs, apart.largest});
  }
  return all;
}

// Narrows down one wrong call.
class PartingSearch {
 public:
  PartingSearch(const Setting& setting, WrongCall call, bool causal)
      : setting_(setting), call_(call), causal_(causal) {}

  Inside run() {
    std::optional<std::int64_t> position = wrong_position(call_.past);
    if (!position) {  // perhaps in shorter calls only
      most_rows_ = call_.position - call_.past + 1;
      position = wrong_position(call_.past);
    }
    if (!position) return {};
    while (call_.past - call_.right_past > 1 && call_.method == Method::pieces) {
      const std::int64_t middle = call_.right_past + (call_.past - call_.right_past) / 2;
      const auto here = wrong_position(middle);
      (here ? call_.past : call_.right_past) = middle;
      if (here) position = here;
    }
    return look(*position);
  }

 private:
  Ids rest_of(std::int64_t past) const {
    const Ids rest = drop(setting_.text.ids, past);
    return take(rest, std::min(std::ssize(rest), most_rows_));
  }
  std::optional<std::int64_t> wrong_position(std::int64_t past) const;
  Inside look(std::int64_t position) const;
  void see(Parting& p, const Pair& pair) const;

  const Setting& setting_;
  WrongCall call_;
  std::int64_t most_rows_ = std::numeric_limits<std::int64_t>::max();  // new tokens of a call
  bool causal_;
};

// The first position that goes wrong after a past of that length.
std::optional<std::int64_t> PartingSearch::wrong_position(std::int64_t past) const {
  const auto session = after_past(setting_, past, call_.method);
  if (session == nullptr) return std::nullopt;
  const Logits faulty = feed(setting_, *session, rest_of(past));
  for (std::int64_t r = 0; r < faulty.rows(); ++r) {
    Apart apart;
    apart.add(setting_.text.logits.row(past + r), faulty.row(r));
    if (setting_.tolerance.same_bits ? !apart.same_bits : apart.max_abs > setting_.tolerance.bound) return past + r;
  }
  return std::nullopt;
}

Inside PartingSearch::look(std::int64_t position) const {
  Parting p{.past = call_.past, .position = position};
  p.sentence = place_words(p, call_.method) + " is the first to part";
  const auto session = after_past(setting_, call_.past, call_.method);
  if (session->look() == nullptr) return {p, {}};
  const Ids rest = rest_of(call_.past);
  const auto count = std::min<std::int64_t>(std::ssize(rest), std::max(kMostRows, position - call_.past + 1));
  const States faulty = feed_and_look(*session->look(), take(rest, count), setting_.description.name);
  setting_.fed(count);
  // A model that is not causal gives other states when the end of the text is missing.
  const Ids known = causal_ ? take(setting_.text.ids, call_.past + count) : setting_.text.ids;
  const States right = states_of(setting_, known, faulty);
  see(p, {right, faulty, position, position - call_.past});
  return {p, distances({right, faulty, call_.past, 0}, rows_in(faulty))};
}

void PartingSearch::see(Parting& p, const Pair& pair) const {
  const std::int64_t state = first_state(setting_, pair, 1);
  if (state < 0) return;
  p.embedded = state == 0;
  if (p.embedded) {
    p.sentence = place_words(p, call_.method) + " parts as it is embedded, before the first layer";
    return;
  }
  p.layer = state - 1;
  const auto heads = heads_apart(setting_, pair, p.layer);
  if (!heads.empty()) p.head = heads[0];
  p.sentence =
      place_words(p, call_.method) + fmt::format(" parts in layer {} of {}{}", p.layer, pair.right.layers.size() - 1,
                                                 heads_words(heads, pair.right.heads));
}

}  // namespace

Inside find_parting(const Setting& setting, WrongCall call, bool causal) {
  return PartingSearch(setting, call, causal).run();
}

}  // namespace pkv::check
