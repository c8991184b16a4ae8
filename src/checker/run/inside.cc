#include "checker/run/inside.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "checker/compare/bound.h"
#include "checker/compare/columns.h"
#include "checker/run/evidence.h"

namespace pkv::check {
namespace {

using Ids = std::span<const std::int32_t>;
using Shown = Finding::Shown;

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

std::span<const float> rows(const std::vector<float>& all, std::int64_t width, std::int64_t first, std::int64_t count) {
  return std::span(all).subspan(static_cast<std::size_t>(first * width), static_cast<std::size_t>(count * width));
}

// How far rounding can move a state after `layers` layers: the bound of a model that ends there.
bool parts(const Apart& apart, const Description& d, std::int64_t layers, bool same_bits) {
  if (same_bits) return !apart.same_bits;
  Description until = d;
  until.layers = std::max<std::int64_t>(layers, 1);
  return apart.max_abs > rounding_bound(until, apart.largest).value;
}

// From which layer on the first `count` states differ: 0 as embedded, then after each layer; -1: none.
std::int64_t first_state(const States& right, const States& other, std::int64_t right_row, std::int64_t other_row,
                         std::int64_t count, const Description& d, bool same_bits) {
  for (std::size_t l = 0; l < std::min(right.layers.size(), other.layers.size()); ++l) {
    Apart apart;
    apart.add(rows(right.layers[l], right.width, right_row, count),
              rows(other.layers[l], right.width, other_row, count));
    if (parts(apart, d, static_cast<std::int64_t>(l), same_bits)) return static_cast<std::int64_t>(l);
  }
  return -1;
}

// The heads of one layer that differ at one position.
std::vector<std::int64_t> heads_apart(const States& right, const States& other, std::size_t layer,
                                      std::int64_t right_row, std::int64_t other_row, const Description& d,
                                      bool same_bits) {
  std::vector<std::int64_t> heads;
  if (layer >= std::min(right.attended.size(), other.attended.size())) return heads;
  for (std::int64_t h = 0; h < right.heads; ++h) {
    Apart apart;
    apart.add(rows(right.attended[layer], right.head_dim, right_row * right.heads + h, 1),
              rows(other.attended[layer], right.head_dim, other_row * right.heads + h, 1));
    if (parts(apart, d, static_cast<std::int64_t>(layer) + 1, same_bits)) heads.push_back(h);
  }
  return heads;
}

std::vector<std::int32_t> with_other_end(const Whole& w, std::int64_t from) {
  std::vector<std::int32_t> mixed(w.ids.begin(), w.ids.begin() + from);
  mixed.insert(mixed.end(), w.other.begin() + from, w.other.end());
  return mixed;
}

States states_of(Subject& subject, Ids ids, const std::string& name, const Fed& fed, const States& like = {}) {
  const auto session = subject.fresh();
  if (session->look() == nullptr) return {};
  States states = feed_and_look(*session->look(), ids, name, like);
  if (fed) fed(std::ssize(ids));
  return states;
}

Causality not_causal(Subject& subject, const Whole& w, const Description& d, bool same_bits, std::int64_t from,
                     double moved, const Fed& fed) {
  const States right = states_of(subject, w.ids, d.name, fed);
  const States other = states_of(subject, with_other_end(w, from), d.name, fed, right);
  const std::int64_t state = first_state(right, other, 0, 0, from, d, same_bits);
  Causality c{.holds = Shown::no, .first_layer = std::max<std::int64_t>(state - 1, -1), .moved = moved, .sentence = {}};
  const std::string layer = state < 0 ? "" : fmt::format(", their states from layer {} on", c.first_layer);
  c.sentence = fmt::format("not causal: with other tokens from position {} on, logits before it move by up to {}{}",
                           from, short_number(moved), layer);
  return c;
}

}  // namespace

std::set<std::int64_t> changed_for_causality(std::int64_t n) { return {1, std::max<std::int64_t>(n / 2, 1), n - 1}; }

Causality causality(Subject& subject, const Whole& w, const Description& d, const Tolerance& tolerance,
                    const Fed& fed) {
  Apart all;
  std::int64_t worst = 0;
  double moved = 0;
  for (const std::int64_t from : changed_for_causality(std::ssize(w.ids))) {
    const Logits changed = feed(*subject.fresh(), with_other_end(w, from), w.logits.vocab, d.name);
    if (fed) fed(std::ssize(w.ids));
    Apart apart;
    apart.add(rows(w.logits.values, w.logits.vocab, 0, from), rows(changed.values, w.logits.vocab, 0, from));
    all.same_bits = all.same_bits && apart.same_bits;
    if (apart.max_abs > moved || worst == 0) moved = apart.max_abs, worst = from;
  }
  if (!std::isfinite(moved)) return {.sentence = "whether the model is causal cannot be told: logits are not finite"};
  if (tolerance.same_bits ? !all.same_bits : moved > tolerance.bound) {
    return not_causal(subject, w, d, tolerance.same_bits, worst, moved, fed);
  }
  const std::string how = all.same_bits ? "keep every bit" : fmt::format("move by {} at most", short_number(moved));
  return {
      .holds = Shown::yes, .moved = moved, .sentence = "causal: earlier logits " + how + " when later tokens change"};
}

namespace {

class Part {
 public:
  Part(Report& report, Subject& subject, const Whole& whole, Suspect suspect, const Tolerance& tolerance,
       const Fed& fed)
      : report_(report), subject_(subject), whole_(whole), s_(suspect), tolerance_(tolerance), fed_(fed) {}

  void run() {
    std::optional<std::int64_t> position = wrong_position(s_.past);
    if (!position) {  // perhaps in shorter calls only
      rows_ = s_.position - s_.past + 1;
      position = wrong_position(s_.past);
    }
    if (!position) return;
    while (s_.past - s_.right_past > 1 && s_.method == Method::pieces) {
      const std::int64_t middle = s_.right_past + (s_.past - s_.right_past) / 2;
      const auto here = wrong_position(middle);
      (here ? s_.past : s_.right_past) = middle;
      if (here) position = here;
    }
    look(*position);
  }

 private:
  const Description& description() const { return report_.subject; }
  Ids rest_of(std::int64_t past) const {
    const Ids rest = whole_.ids.subspan(static_cast<std::size_t>(past));
    return rest.first(static_cast<std::size_t>(std::min(std::ssize(rest), rows_)));
  }
  std::optional<std::int64_t> wrong_position(std::int64_t past);
  void look(std::int64_t position);
  void see(Parting& p, const States& right, const States& faulty);
  void measure(const States& right, const States& faulty, std::int64_t count);

  Report& report_;
  Subject& subject_;
  const Whole& whole_;
  Suspect s_;
  std::int64_t rows_ = std::numeric_limits<std::int64_t>::max();  // new tokens of a call, at most
  const Tolerance& tolerance_;
  const Fed& fed_;
};

// The first position that goes wrong after a past of that length.
std::optional<std::int64_t> Part::wrong_position(std::int64_t past) {
  const auto session = after_past(subject_, whole_.ids, whole_.other, past, s_.method, fed_);
  if (session == nullptr) return std::nullopt;
  const Logits faulty = feed(*session, rest_of(past), whole_.logits.vocab, description().name);
  if (fed_) fed_(faulty.rows());
  for (std::int64_t r = 0; r < faulty.rows(); ++r) {
    Apart apart;
    apart.add(whole_.logits.row(past + r), faulty.row(r));
    if (tolerance_.same_bits ? !apart.same_bits : apart.max_abs > tolerance_.bound) return past + r;
  }
  return std::nullopt;
}

std::string place_words(const Parting& p, Method method) {
  const std::string used = method == Method::pieces ? "" : ", used before,";
  return fmt::format("after a past of {}{} the token at position {}", counted(p.past, "token"), used, p.position);
}

std::string heads_words(const std::vector<std::int64_t>& heads, std::int64_t all) {
  if (all == 0 || heads.empty()) return "";
  if (all == 1) return ", in its head";
  if (std::ssize(heads) == all) return fmt::format(", in all {} heads", all);
  return heads.size() == 1 ? fmt::format(", in head {} of {}", heads[0], all)
                           : fmt::format(", in {} of {} heads, the first of them {}", heads.size(), all, heads[0]);
}

void Part::look(std::int64_t position) {
  Parting p{.past = s_.past, .position = position};
  p.sentence = place_words(p, s_.method) + " is the first to part";
  const Ids rest = rest_of(s_.past);
  const auto count = std::min<std::int64_t>(std::ssize(rest), std::max(kMostRows, position - s_.past + 1));
  const auto session = after_past(subject_, whole_.ids, whole_.other, s_.past, s_.method, fed_);
  if (session->look() != nullptr) {
    const States faulty =
        feed_and_look(*session->look(), rest.first(static_cast<std::size_t>(count)), description().name);
    if (fed_) fed_(count);
    // A model that is not causal gives other states when the end of the text is missing.
    const bool causal = report_.causality.holds == Shown::yes;
    const Ids known = causal ? whole_.ids.first(static_cast<std::size_t>(s_.past + count)) : whole_.ids;
    see(p, states_of(subject_, known, description().name, fed_, faulty), faulty);
  }
  report_.parting = std::move(p);
}

void Part::see(Parting& p, const States& right, const States& faulty) {
  measure(right, faulty,
          static_cast<std::int64_t>(
              faulty.layers.empty() || faulty.width == 0 ? 0 : std::ssize(faulty.layers[0]) / faulty.width));
  const std::int64_t row = p.position - s_.past;
  const std::int64_t state = first_state(right, faulty, p.position, row, 1, description(), tolerance_.same_bits);
  if (state < 0) return;
  p.embedded = state == 0;
  if (p.embedded) {
    p.sentence = place_words(p, s_.method) + " parts as it is embedded, before the first layer";
    return;
  }
  p.layer = state - 1;
  const auto heads = heads_apart(right, faulty, static_cast<std::size_t>(p.layer), p.position, row, description(),
                                 tolerance_.same_bits);
  if (!heads.empty()) p.head = heads[0];
  p.sentence = place_words(p, s_.method) + fmt::format(" parts in layer {} of {}{}", p.layer, right.layers.size() - 1,
                                                       heads_words(heads, right.heads));
}

void Part::measure(const States& right, const States& faulty, std::int64_t count) {
  for (std::size_t l = 0; l < std::min(right.layers.size(), faulty.layers.size()); ++l) {
    Apart apart;
    apart.add(rows(right.layers[l], right.width, s_.past, count), rows(faulty.layers[l], right.width, 0, count));
    report_.layers.push_back({apart.max_abs, apart.largest});
  }
}

}  // namespace

void find_parting(Report& report, Subject& subject, const Whole& whole, Suspect suspect, const Tolerance& tolerance,
                  const Fed& fed) {
  Part(report, subject, whole, suspect, tolerance, fed).run();
}

}  // namespace pkv::check
