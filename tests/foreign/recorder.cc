#include "foreign/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

namespace pkv::foreign {
namespace {

using check::Logits;
using Sees = std::function<bool(int q, int k)>;
using Places = std::function<int(int q)>;

constexpr int kMostRows = 16, kMostChanged = 8, kAllCounts = 16, kMostSingle = 3;
constexpr std::size_t kMostKept = 4;

Ids slice(const Ids& ids, std::int64_t first, std::int64_t end) { return {ids.begin() + first, ids.begin() + end}; }

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Logits rows_of(const Logits& all, std::int64_t first, std::int64_t count) {
  const auto from = all.values.begin() + first * all.vocab;
  return {all.vocab, {from, from + count * all.vocab}};
}

double largest(const Logits& all) {
  double most = 0;
  for (const float x : all.values) most = std::max<double>(most, std::abs(x));
  return most;
}

double apart(const Logits& a, const Logits& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const double off = std::abs(double{a.values[i]} - b.values[i]);
    most = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(most, off);
  }
  return most;
}

// Share of the difference that a simulation explains.
double explained(const Logits& seen, const Logits& right, const Logits& simulated) {
  double off = 0, all = 0;
  for (std::size_t i = 0; i < seen.values.size(); ++i) {
    off += std::pow(double{seen.values[i]} - simulated.values[i], 2);
    all += std::pow(double{seen.values[i]} - right.values[i], 2);
  }
  return all > 0 ? 1 - std::sqrt(off / all) : 0;
}

// Of the numbers of a format, relative to their size; logits are written in fp32 at most.
double steps(const Format& format) { return std::ldexp(1.0, 1 - std::min(format.bits, 24)); }

// Without what tells variants of a name apart: "heads-shifted|back".
std::string bare(const std::string& name) { return name.substr(0, name.find('|')); }

std::string without_number(const std::string& name) {
  std::string bare;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '=') {
      while (i + 1 < name.size() && name[i + 1] != '+') ++i;
    } else {
      bare += name[i];
    }
  }
  return bare;
}

struct Fed {
  Logits logits;
  std::vector<std::optional<std::int64_t>> lengths;
  PastPtr past;
  std::vector<std::vector<float>> hidden;  // as embedded and after each layer: [tokens, width]
};

// In pieces, each with the past that the call before it handed back.
Fed fed_in(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces) {
  Fed fed{.logits = {program.shape().vocab, {}}};
  fed.hidden.resize(static_cast<std::size_t>(program.shape().layers) + 1);
  std::int64_t at = 0;
  for (const std::int64_t piece : pieces) {
    const Out out = program.call({slice(text, at, at + piece)}, fed.past);
    fed.logits.values.insert(fed.logits.values.end(), out.logits[0].begin(), out.logits[0].end());
    for (std::size_t l = 0; l < fed.hidden.size(); ++l) {
      fed.hidden[l].insert(fed.hidden[l].end(), out.hidden[0][l].begin(), out.hidden[0][l].end());
    }
    fed.past = out.past;
    fed.lengths.emplace_back(out.past == nullptr ? 0 : out.past->length());
    at += piece;
  }
  return fed;
}

class Recorder {
 public:
  Recorder(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces, const Logits& recorded,
           const Logits& right)
      : program_(program),
        text_(text),
        pieces_(pieces),
        recorded_(recorded),
        right_(right),
        other_(another(text, program.shape().vocab)),
        past_(std::ssize(text) - pieces.back()) {
    last_ = std::min<std::int64_t>(std::ssize(text), past_ + kMostRows);
    ids_ = slice(text, 0, last_);
    rest_ = slice(text, past_, last_);
  }

  check::Probes probes(bool keeps);

 private:
  struct Tried {
    double share, far;
    Logits logits;
  };
  using Variants = std::map<std::string, std::pair<Sees, Places>>;

  std::int64_t rows() const { return last_ - past_; }
  Logits logits(const std::vector<float>& values) const { return {program_.shape().vocab, values}; }
  Logits whole(const Ids& ids, const Handed& handed = {}) {
    return logits(program_.call({ids}, nullptr, handed).logits[0]);
  }
  Logits end_of(const Ids& ids, const Handed& handed = {}) {
    const Logits all = whole(ids, handed);
    return rows_of(all, all.rows() - rows(), rows());
  }
  PastPtr past_of(const Ids& prefix) { return program_.call({prefix}).past; }
  Logits go_on(const PastPtr& past) { return logits(program_.call({rest_}, past).logits[0]); }
  Ids prefix() const { return slice(ids_, 0, past_); }
  Ids other_prefix() const { return slice(other_, 0, past_); }
  Ids other_rest() const { return slice(other_, past_, last_); }

  Handed handed(const Sees& sees, const Places& place);
  SameStart* same_start(SameStart& start, int first_new);
  void uses(check::Probes& p);
  std::optional<std::pair<Logits, Logits>> wide_pair(check::Probes& p);
  void suppositions(check::Probes& p, const std::string& run, const Logits& seen, const Logits& right, double noise);
  void attempt(const Variants& variants, const Logits& seen, const Logits& right);
  void changes(check::Probes& p);
  Handed doubled(const Handed& changed);
  Logits of_doubled(const Handed& changed);
  void read_wrongly(const Logits& seen, const Logits& right, check::Probes& p, double noise);
  void scaled(const Logits& seen, const Logits& right, double noise);
  void one_layer(const Logits& seen, const Logits& right);
  void one_and_two(check::Probes& p);
  void add(const std::string& name, const Logits& own, const Logits& seen, const Logits& right) {
    tried_[name] = {explained(seen, right, own), apart(seen, own), own};
  }
  bool found(double noise) const {
    return std::ranges::any_of(tried_, [&](const auto& t) { return t.second.share >= 0.5 && t.second.far <= noise; });
  }

  Program& program_;
  const Ids& text_;
  const std::vector<std::int64_t>& pieces_;
  const Logits &recorded_, &right_;
  Ids other_, ids_, rest_;
  std::int64_t past_, last_ = 0;
  std::map<std::string, Tried> tried_;
  SameStart text_start_, doubled_start_;  // of all suppositions in one format
};

// What comes before the new tokens is the same in all suppositions. Two rows are left, since one alone is computed by
// another kernel.
SameStart* Recorder::same_start(SameStart& start, int first_new) {
  const int rows = first_new - (last_ - past_ < 2 ? 1 : 0);
  if (program_.rows_depend_on_call() || rows < 1) return nullptr;
  start.rows = rows;
  return &start;
}

// Windows of the model's own layers are kept: a mask that is handed over stands in the place of the program's own.
Handed Recorder::handed(const Sees& sees, const Places& place) {
  const int past = static_cast<int>(past_);
  Handed h{.start = same_start(text_start_, past)};
  if (sees) {
    h.sees = [this, sees, past](int layer, int, int q, int k) {
      const int window = program_.shape().window(layer);
      return (q < past ? k <= q : sees(q, k)) && (window == 0 || k > q - window);
    };
  }
  if (place) {
    h.position = [place, past](int q) { return q < past ? q : place(q); };
  }
  return h;
}

std::set<int> counts(int n, int past) {
  std::set<int> all;
  for (int c = 1; c <= kAllCounts; ++c) all.insert(c);
  for (int power = 2 * kAllCounts; power <= n + 1; power *= 2) all.insert({power - 1, power, power + 1});
  for (int d = -2; d <= 2; ++d) all.insert({past + d, n + d});
  std::erase_if(all, [&](int c) { return c < 1 || c > n; });
  return all;
}

std::map<std::string, Sees> masks(int n, int past) {
  std::map<std::string, Sees> all{
      {"past-ignored", [past](int q, int k) { return past <= k && k <= q; }},
      {"top-left-mask", [past](int q, int k) { return k <= q - past; }},
  };
  if (n - past > 1) all["later-tokens-seen"] = [](int, int) { return true; };
  all["own-key-unseen"] = [](int q, int k) { return k < q; };
  if (past > 1) all["last-of-past-lost"] = [past](int q, int k) { return k <= q && k != past - 1; };
  return all;
}

std::map<std::string, Sees> masks_with_numbers(int n, int past) {
  std::map<std::string, Sees> all;
  for (const int c : counts(n, past)) {
    all[fmt::format("window={}", c)] = [c](int q, int k) { return q - c < k && k <= q; };
    if (n - past > 1) {
      all[fmt::format("window-of-call={}", c)] = [c, n](int q, int k) { return std::min(n - c, q) <= k && k <= q; };
    }
    if (c < past) all[fmt::format("first-dropped={}", c)] = [c](int q, int k) { return c <= k && k <= q; };
  }
  for (int start = 1; start + 1 < past; ++start) {
    for (const int end : {start + 1, start + 2, start + 4, start + 8, past}) {
      if (end > past || (end == past && start + 1 == past)) continue;
      all[fmt::format("keys-lost={}|{}", start + 1, end)] = [start, end](int q, int k) {
        return k <= q && (k < start || k >= end);
      };
    }
  }
  return all;
}

std::map<std::string, Places> places(int n, int past) {
  std::map<std::string, Places> all{{"position-restarted", [past](int q) { return q - past; }},
                                    {"position-one-far", [](int q) { return q + 1; }},
                                    {"position-one-short", [](int q) { return q - 1; }}};
  if (n - past > 1) all["position-frozen"] = [past](int) { return past; };
  return all;
}

std::map<std::string, Places> places_with_numbers(int n, int past) {
  std::map<std::string, Places> all;
  for (const int c : counts(n, past)) {
    if (c < n - 2) all[fmt::format("position-stops={}", c)] = [c](int q) { return std::min(q, c); };
    if (2 <= c && c <= kAllCounts / 2) all[fmt::format("position-from-padding={}", c)] = [c](int q) { return q + c; };
  }
  return all;
}

void Recorder::attempt(const Variants& variants, const Logits& seen, const Logits& right) {
  for (const auto& [name, variant] : variants) {
    if (tried_.contains(name)) continue;
    Logits own = end_of(ids_, handed(variant.first, variant.second));
    add(name, own, seen, right);
  }
}

// The nearest alone are written: what is further away decides nothing.
void Recorder::suppositions(check::Probes& p, const std::string& run, const Logits& seen, const Logits& right,
                            double noise) {
  const int n = static_cast<int>(last_), past = static_cast<int>(past_);
  p.supposed_for = run;
  tried_.clear();
  text_start_ = doubled_start_ = {};
  const Logits heeded = end_of(ids_, handed([](int q, int k) { return k <= q; }, [](int q) { return q; }));
  p.runs["right_mask"] = p.runs["right_positions"] = heeded;
  if (apart(heeded, right) <= noise) {
    const auto some_masks = masks(n, past), more_masks = masks_with_numbers(n, past);
    const auto some_places = places(n, past), more_places = places_with_numbers(n, past);
    Variants stage;
    for (const auto& [name, sees] : some_masks) stage[name] = {sees, nullptr};
    for (const auto& [name, place] : some_places) {
      stage[name] = {nullptr, place};
      for (const char* mask : {"past-ignored", "top-left-mask", "later-tokens-seen"}) {
        if (some_masks.contains(mask)) stage[std::string(mask) + "+" + name] = {some_masks.at(mask), place};
      }
    }
    attempt(stage, seen, right);
    if (!found(noise)) {
      stage.clear();
      for (const auto& [name, sees] : more_masks) stage[name] = {sees, nullptr};
      for (const auto& [name, place] : more_places) stage[name] = {nullptr, place};
      attempt(stage, seen, right);
    }
    if (!found(noise)) read_wrongly(seen, right, p, noise);
    if (!found(noise)) one_layer(seen, right);
    if (!found(noise)) {
      const auto best = [&](const std::vector<std::string>& names) {
        return *std::ranges::max_element(names, {}, [&](const std::string& name) { return tried_.at(name).share; });
      };
      std::vector<std::string> place_names;
      for (const auto& [name, place] : some_places) place_names.push_back(name);
      const std::string place = best(place_names), mask = best({"past-ignored", "top-left-mask"});
      stage.clear();
      for (const auto& [name, sees] : more_masks) {
        if (!name.starts_with("window-of-call") && !name.starts_with("keys-lost"))
          stage[name + "+" + place] = {sees, some_places.at(place)};
      }
      for (const auto& [name, own] : more_places) stage[mask + "+" + name] = {some_masks.at(mask), own};
      attempt(stage, seen, right);
    }
  }
  std::vector<std::pair<double, std::string>> nearest;
  std::set<std::string> names;
  for (const auto& [name, tried] : tried_) {
    if (tried.share > 0) nearest.emplace_back(-tried.share, name);
    names.insert(without_number(bare(name)));
  }
  std::ranges::sort(nearest);
  std::set<std::string> written;  // of variants of one name, the nearest
  for (const auto& [share, name] : nearest) {
    if (written.size() < kMostKept && written.insert(bare(name)).second)
      p.supposed[bare(name)] = tried_.at(name).logits;
  }
  // However far: it shows whether masks are heeded at all.
  if (const auto ignored = tried_.find("past-ignored"); ignored != tried_.end()) {
    p.supposed["past-ignored"] = ignored->second.logits;
  }
  p.tried = {names.begin(), names.end()};
  if (!found(noise)) one_and_two(p), changes(p);
}

// The past twice in one text, fed whole: as it is, seen by itself; and a copy that the new tokens alone see, which is
// read wrongly.
Handed Recorder::doubled(const Handed& changed) {
  const int past = static_cast<int>(past_), first_new = 2 * past;
  Handed h = changed;
  h.start = same_start(doubled_start_, first_new);
  h.position = [past](int slot) { return slot < past ? slot : slot - past; };
  h.sees = [this, past, first_new](int layer, int, int q, int k) {
    const int window = program_.shape().window(layer), at = q < past ? q : q - past, key = k < past ? k : k - past;
    const bool of_its_own = q < first_new ? k < past && key <= at : k >= past && key <= at;
    return of_its_own && (window == 0 || key > at - window);
  };
  return h;
}

Logits Recorder::of_doubled(const Handed& changed) { return end_of(joined(prefix(), ids_), doubled(changed)); }

void Recorder::read_wrongly(const Logits& seen, const Logits& right, check::Probes& p, double noise) {
  const Logits same = p.runs["right_copy"] = of_doubled({});
  if (apart(same, right) > noise) return;
  const int past = static_cast<int>(past_), heads = program_.shape().kv_heads, d = program_.shape().head_dim;
  const int token = heads * d;
  using Values = std::vector<double>;
  using Edit = std::function<void(Values & keys, Values & values)>;  // of the past: [tokens, kv_heads, head_dim]
  std::map<std::string, Edit> edits;
  const auto both = [](const std::function<void(Values&)>& change) {
    return [change](Values& keys, Values& values) { change(keys), change(values); };
  };
  const auto quantised = [d](double levels) {
    return [levels, d](Values& all) {
      for (std::size_t from = 0; from < all.size(); from += static_cast<std::size_t>(d)) {
        double most = 0;
        for (int i = 0; i < d; ++i) most = std::max(most, std::abs(all[from + i]));
        for (int i = 0; i < d && most > 0; ++i)
          all[from + i] = std::nearbyint(all[from + i] / most * levels) * most / levels;
      }
    };
  };
  const auto in_bits = [](int bits, int least) {
    return [bits, least](Values& all) {
      for (double& x : all) x = rounded(x, bits, least);
    };
  };
  const auto turned = [token](Values& all, int by) { std::rotate(all.begin(), all.begin() + by * token, all.end()); };
  for (const bool back : {false, true}) {
    edits[back ? "heads-shifted|back" : "heads-shifted"] = both([=](Values& all) {
      for (auto at = all.begin(); at != all.end(); at += token)
        std::rotate(at, back ? at + token - d : at + d, at + token);
    });
    edits[back ? "values-shifted|back" : "values-shifted"] = [=](Values&, Values& v) {
      turned(v, back ? past - 1 : 1);
    };
  }
  edits["keys-and-values-swapped"] = [](Values& k, Values& v) { std::swap(k, v); };
  edits["past-in-int8"] = both(quantised(127)), edits["past-in-int4"] = both(quantised(7));
  edits["past-in-fp8"] = both(in_bits(4, -6)), edits["past-in-fp8|5 and 2"] = both(in_bits(3, -14));
  edits["past-in-bf16"] = both(in_bits(8, -126)), edits["past-in-fp16"] = both(in_bits(11, -14));
  for (int by = 2; by < past - 1; ++by) {
    edits[fmt::format("ring-out-of-order={}", by)] = [=](Values&, Values& v) { turned(v, by); };
  }
  for (const int length : {1, 4, 8}) {
    for (int start = 0; start + length <= past; start += length) {
      edits[fmt::format("zeros-in-past={}|{}", start + 1, length)] =
          both([=](Values& all) { std::fill_n(all.begin() + start * token, length * token, 0.0); });
    }
  }
  for (const auto& [name, change] : edits) {
    Handed h;
    h.edit = [past, token, &change](int, Values& keys, Values& values) {
      const auto copy = [&](Values& all) { return Values(all.begin() + past * token, all.begin() + 2 * past * token); };
      Values k = copy(keys), v = copy(values);
      change(k, v);
      std::ranges::copy(k, keys.begin() + past * token), std::ranges::copy(v, values.begin() + past * token);
    };
    add(name, of_doubled(h), seen, right);
  }
  if (!found(noise)) scaled(seen, right, noise);
  if (found(noise) || heads == 1 || heads == program_.shape().heads) return;
  Handed tiled;
  const int shared = program_.shape().heads / heads;
  tiled.group = [=](int q, int head) { return q < 2 * past ? head / shared : head % heads; };
  add("heads-tiled", of_doubled(tiled), seen, right);
}

// Towards the factor that fits best, by the slope at the nearest so far.
void Recorder::scaled(const Logits& seen, const Logits& right, double noise) {
  const int first_new = static_cast<int>(2 * past_);
  const auto by = [&](double factor) {
    Handed h;
    h.scale = [=](int q) { return q < first_new ? 1.0 : factor; };
    return of_doubled(h);
  };
  const auto name = [](double factor) { return fmt::format("scores-scaled|{}", factor); };
  double best = 0, at = 1;
  for (const double factor : {0.6, 0.75, 0.9, 1.1, 1.25, 1.5}) {
    add(name(factor), by(factor), seen, right);
    if (tried_.at(name(factor)).share > best) best = tried_.at(name(factor)).share, at = factor;
  }
  for (int step = 0; step < 3 && best >= 0.4 && !found(noise); ++step) {
    constexpr double kStep = 1e-3;
    const Logits here = by(at), there = by(at + kStep);
    double along = 0, square = 0;
    for (std::size_t i = 0; i < here.values.size(); ++i) {
      const double slope = (double{there.values[i]} - here.values[i]) / kStep;
      along += (double{seen.values[i]} - here.values[i]) * slope, square += slope * slope;
    }
    if (!(square > 0)) return;
    at += along / square;
    add(name(at), by(at), seen, right);
  }
}

// One layer that ignores the past, or one head of it.
void Recorder::one_layer(const Logits& seen, const Logits& right) {
  const int past = static_cast<int>(past_);
  for (int l = 0; l < program_.shape().layers; ++l) {
    if (program_.shape().is_recurrent(l)) continue;
    for (int head = -1; head < program_.shape().heads; ++head) {
      Handed h = handed([](int q, int k) { return k <= q; }, nullptr);
      h.sees = [healthy = h.sees, l, head, past](int layer, int own, int q, int k) {
        const bool hidden = layer == l && (head < 0 || head == own) && q >= past && k < past;
        return !hidden && healthy(layer, own, q, k);
      };
      add(head < 0 ? fmt::format("layer-ignores-past|{}", l) : fmt::format("head-ignores-past|{} {}", l, head),
          end_of(ids_, h), seen, right);
    }
  }
}

// A token fed alone after a past; the same and the next in one call.
void Recorder::one_and_two(check::Probes& p) {
  const std::int64_t at = std::ssize(ids_) > past_ + 1 ? past_ : past_ - 1;
  if (at < 1) return;
  const auto after = [&](std::int64_t tokens) {
    return program_.call({slice(ids_, at, at + tokens)}, past_of(slice(ids_, 0, at))).logits[0];
  };
  std::vector<float> all = after(1);
  const std::vector<float> both = after(2);
  all.insert(all.end(), both.begin(), both.end());
  p.runs["one_and_two"] = logits(all);
  p.one_and_two_at = at;
}

void Recorder::changes(check::Probes& p) {
  constexpr int half = kMostChanged / 2;
  for (int i = 0; i < past_; ++i) {
    if (past_ > kMostChanged && i >= half && i < past_ - half) continue;
    Ids changed = ids_;
    changed[static_cast<std::size_t>(i)] = other_[static_cast<std::size_t>(i)];
    p.runs[fmt::format("changed.{}", i)] = go_on(past_of(slice(changed, 0, past_)));
    p.runs[fmt::format("changed_whole.{}", i)] = end_of(changed);
  }
}

// A batch of two with a past, a copy that goes on while the other is fed, a past that was longer.
void Recorder::uses(check::Probes& p) {
  const PastPtr both = program_.call({prefix(), other_prefix()}).past;
  const Out batched = program_.call({rest_, rest_}, both);
  p.runs["batched_past"] = logits(batched.logits[0]);
  p.runs["batched_other_past"] = logits(batched.logits[1]);

  const PastPtr beams = program_.call({prefix(), other_prefix()}).past;
  program_.reorder(beams);
  const Out reordered = program_.call({rest_, rest_}, beams);
  p.runs["reordered_other"] = logits(reordered.logits[0]);
  p.runs["reordered"] = logits(reordered.logits[1]);

  const PastPtr original = past_of(prefix()), fork = program_.copy(original);
  go_on(fork);
  program_.call({other_rest()}, original);
  p.runs["forked"] = go_on(fork);
  p.runs["forked_whole"] = end_of(joined(ids_, rest_));

  const PastPtr longer = past_of(joined(prefix(), other_rest()));
  if (program_.crop(longer, past_)) {
    p.cropped_length = longer->length();
    p.runs["cropped"] = go_on(longer);
  } else {
    p.left_out.push_back("probe.cropped: the past says that it cannot be cut");
  }

  if (past_ < 2) return;
  std::int64_t at = std::max<std::int64_t>(1, past_ - kMostSingle);
  const PastPtr kept = past_of(slice(ids_, 0, at));
  std::vector<float> singly;
  for (; at < past_; ++at) {
    const std::vector<float> own = program_.call({slice(ids_, at, at + 1)}, kept).logits[0];
    singly.insert(singly.end(), own.begin(), own.end());
    p.at["singly"].push_back(at);
  }
  p.runs["singly"] = logits(singly);
}

// (with, without) of all positions.
std::optional<std::pair<Logits, Logits>> Recorder::wide_pair(check::Probes& p) {
  const Fed without = fed_in(program_, text_, {std::ssize(text_)}), with = fed_in(program_, text_, pieces_);
  p.wide_format = program_.format().name;
  p.runs["wide_without"] = without.logits;
  p.runs["wide_with"] = with.logits;
  p.states_apart = {.width = 2, .layers = {}, .attended = {}};
  const std::int64_t d = program_.shape().width;
  for (std::size_t l = 0; l < with.hidden.size(); ++l) {
    std::vector<float> layer;
    for (std::int64_t r = past_; r < last_; ++r) {
      float off = 0, size = 0;
      for (std::int64_t i = r * d; i < (r + 1) * d; ++i) {
        off = std::max(off, std::abs(without.hidden[l][i] - with.hidden[l][i]));
        size = std::max(size, std::abs(without.hidden[l][i]));
      }
      layer.insert(layer.end(), {off, size});
    }
    p.states_apart.layers.push_back(layer);
  }
  return std::pair{with.logits, without.logits};
}

check::Probes Recorder::probes(bool keeps) {
  check::Probes p{.past = past_, .rows = rows()};
  const std::int64_t n = std::ssize(text_);
  p.runs["whole_again"] = whole(text_);
  const PastPtr a = past_of(prefix()), b = past_of(other_prefix());
  p.runs["beside_another"] = go_on(a);
  p.runs["other_past"] = go_on(b);
  const PastPtr once = past_of(prefix());
  const Logits again = p.runs["again"] = go_on(once);
  if (keeps) {
    p.twice_lengths = {once->length()};
    if (once->length() == past_) {
      p.runs["twice"] = go_on(once);
      p.twice_lengths.push_back(once->length());
    }
  }
  p.runs["batched"] = rows_of(logits(program_.call({text_, other_}).logits[0]), past_, rows());
  const auto texts = [&] {
    p.supposed["new-tokens-alone"] = whole(rest_);
    p.supposed["past-of-another-text"] = end_of(joined(other_prefix(), rest_));
  };
  for (const std::int64_t i : std::set<std::int64_t>{1, std::max<std::int64_t>(n / 2, 1), n - 1}) {
    p.runs[fmt::format("later.{}", i)] = rows_of(whole(joined(slice(text_, 0, i), slice(other_, i, n))), 0, i);
  }
  if (keeps) uses(p);

  const Logits right = rows_of(right_, past_, rows());
  const bool in_two = pieces_.size() == 2;
  const Logits seen = rows_of(recorded_, past_, rows());
  const double scale = largest(right_), few = program_.format().bits >= 24 ? 16 : 4;
  const double narrow = steps(program_.format()) * scale;
  Program in_wide = program_.in_wider_format();
  std::swap(in_wide, program_);
  const auto wide = wide_pair(p);
  const double fine = 16 * steps(program_.format()) * scale;
  const Logits wide_right = rows_of(wide->second, past_, rows());
  bool single_use_right = true;
  const bool wide_parted = keeps && apart(wide->first, wide->second) > fine;
  if (wide_parted) {
    texts();
    const Logits probed = in_two ? rows_of(wide->first, past_, rows()) : go_on(past_of(prefix()));
    p.supposed_for = in_two ? "wide_with" : "wide_again";
    if (!in_two) p.runs["wide_again"] = probed;
    if (apart(probed, wide_right) > fine) {
      single_use_right = false;
      suppositions(p, p.supposed_for, probed, wide_right, fine);
    }
  }
  std::swap(in_wide, program_);
  const double least = few * narrow;
  if (keeps && in_two && apart(seen, right) > least && apart(again, right) > least && apart(again, seen) > least) {
    go_on(past_of(other_prefix()));  // which was fed before the other, too
    p.runs["again_alike"] = go_on(past_of(prefix()));
  }
  if (!wide_parted) texts();
  if (!wide_parted && keeps) {
    const bool recorded_wrong = in_two && apart(seen, right) > least, again_wrong = apart(again, right) > least;
    single_use_right = !recorded_wrong && !again_wrong;
    if (!single_use_right) {
      suppositions(p, recorded_wrong ? "" : "again", recorded_wrong ? seen : again, right, 2 * least);
    } else if (p.runs.contains("cropped") && apart(p.runs["cropped"], right) > least) {
      suppositions(p, "cropped", p.runs["cropped"], right, 2 * least);
    }
  }
  const auto if_apart = [&](const char* run, const char* cause, const Ids& before) {
    const Logits& expected = p.runs.contains(std::string(run) + "_whole") ? p.runs[std::string(run) + "_whole"] : right;
    if (!single_use_right || !p.runs.contains(run) || apart(p.runs[run], expected) <= least) return;
    p.supposed[cause] = end_of(joined(before, rest_));
  };
  if_apart("twice", "past-changed-in-place", ids_);
  if_apart("forked", "past-changed-in-place", joined(prefix(), other_rest()));
  if_apart("cropped", "past-not-rewound", joined(prefix(), other_rest()));
  return p;
}

check::Recording described(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces, Fed fed) {
  const Shape& s = program.shape();
  return {.description = {.name = "foreign",
                          .family = "foreign",
                          .system = "tests/foreign",
                          .format = program.format().name,
                          .values_format = program.format().name,
                          .logits_format = program.format().name,
                          .layers = s.layers,
                          .width = std::max(s.width, s.inner)},
          .ids = text,
          .logits = std::move(fed.logits),
          .pieces = pieces,
          .past_lengths = std::move(fed.lengths)};
}

}  // namespace

Ids another(const Ids& text, int vocab) {
  std::mt19937 dice(3);
  Ids other;
  for (const std::int32_t id : text) {
    const auto drawn = static_cast<std::int32_t>(dice() % static_cast<unsigned>(vocab - 1));
    other.push_back(drawn < id ? drawn : drawn + 1);
  }
  return other;
}

Recorded record(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces, bool probes) {
  const std::vector<std::int64_t> whole{std::ssize(text)};
  Fed without = fed_in(program, text, whole), with = fed_in(program, text, pieces);
  const bool keeps = with.past != nullptr;
  Recorded r{described(program, text, whole, std::move(without)), described(program, text, pieces, std::move(with))};
  if (probes && pieces.size() > 1) {
    r.with.probes = Recorder(program, text, pieces, r.with.logits, r.without.logits).probes(keeps);
  }
  return r;
}

}  // namespace pkv::foreign
