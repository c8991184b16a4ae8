#include "foreign/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace pkv::foreign {
namespace {

using check::Logits;
using Sees = std::function<bool(int q, int k)>;
using Places = std::function<int(int q)>;

constexpr int kMostRows = 16, kMostChanged = 8, kAllCounts = 16;

Ids slice(const Ids& ids, std::int64_t first, std::int64_t end) { return {ids.begin() + first, ids.begin() + end}; }

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Recorder {
 public:
  Recorder(Program& program, const Ids& text, std::int64_t past)
      : program_(program), text_(text), other_(another(text, program.shape().vocab)), past_(past) {
    last_ = std::min<std::int64_t>(std::ssize(text), past + kMostRows);
    ids_ = slice(text, 0, last_);
    rest_ = slice(text, past, last_);
  }

  check::Probes probes();

 private:
  Logits logits(const std::vector<float>& values) const { return {program_.shape().vocab, values}; }
  Logits whole(const Ids& ids, const Handed& handed = {}) {
    return logits(program_.call({ids}, nullptr, handed).logits[0]);
  }
  Logits after(const Ids& prefix, const Ids& rest) {
    const PastPtr past = program_.call({prefix}).past;
    return logits(program_.call({rest}, past).logits[0]);
  }
  Logits from(Logits all, std::int64_t first, std::int64_t end = -1) const {
    if (end < 0) end = all.rows();
    all.values = {all.values.begin() + first * all.vocab, all.values.begin() + end * all.vocab};
    return all;
  }
  Handed handed(const Sees& sees, const Places& place) const;
  void suppositions(check::Probes& p);
  void changes(check::Probes& p);
  void second_uses(check::Probes& p);
  void wider(check::Probes& p);

  Program& program_;
  const Ids& text_;
  Ids other_, ids_, rest_;
  std::int64_t past_, last_ = 0;
};

// Windows of the model's own layers are kept: a mask that is handed over stands in the place of the program's own.
Handed Recorder::handed(const Sees& sees, const Places& place) const {
  const int past = static_cast<int>(past_);
  Handed h;
  if (sees) {
    h.sees = [this, sees, past](int layer, int q, int k) {
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
  const bool several = n - past > 1;
  std::map<std::string, Sees> all{
      {"past-ignored", [past](int q, int k) { return past <= k && k <= q; }},
      {"top-left-mask", [past](int q, int k) { return k <= q - past; }},
  };
  if (several) all["later-tokens-seen"] = [](int, int) { return true; };
  if (past > 1) all["last-of-past-lost"] = [past](int q, int k) { return k <= q && k != past - 1; };
  for (const int c : counts(n, past)) {
    all[fmt::format("window={}", c)] = [c](int q, int k) { return q - c < k && k <= q; };
    if (several) {
      all[fmt::format("window-of-call={}", c)] = [c, n](int q, int k) { return std::min(n - c, q) <= k && k <= q; };
    }
    if (c < past) all[fmt::format("first-dropped={}", c)] = [c](int q, int k) { return c <= k && k <= q; };
  }
  return all;
}

std::map<std::string, Places> places(int n, int past) {
  std::map<std::string, Places> all{{"position-restarted", [past](int q) { return q - past; }},
                                    {"position-one-far", [](int q) { return q + 1; }},
                                    {"position-one-short", [](int q) { return q - 1; }}};
  if (n - past > 1) all["position-frozen"] = [past](int) { return past; };
  for (const int c : counts(n, past)) {
    if (c < n - 2) all[fmt::format("position-stops={}", c)] = [c](int q) { return std::min(q, c); };
    if (2 <= c && c <= kAllCounts / 2) all[fmt::format("position-from-padding={}", c)] = [c](int q) { return q + c; };
  }
  return all;
}

void Recorder::suppositions(check::Probes& p) {
  const int n = static_cast<int>(last_), past = static_cast<int>(past_);
  const auto run = [&](const Sees& sees, const Places& place) { return from(whole(ids_, handed(sees, place)), past); };
  const auto all_masks = masks(n, past);
  p.runs["right_positions"] = run(nullptr, [](int q) { return q; });
  p.runs["right_mask"] = run([](int q, int k) { return k <= q; }, nullptr);
  for (const auto& [name, sees] : all_masks) p.supposed[name] = run(sees, nullptr);
  for (const auto& [name, place] : places(n, past)) {
    p.supposed[name] = run(nullptr, place);
    for (const char* mask : {"past-ignored", "top-left-mask", "later-tokens-seen"}) {
      if (!all_masks.contains(mask) || name.find('=') != std::string::npos) continue;
      p.supposed[std::string(mask) + "+" + name] = run(all_masks.at(mask), place);
    }
  }
}

void Recorder::changes(check::Probes& p) {
  constexpr int half = kMostChanged / 2;
  for (int i = 0; i < past_; ++i) {
    if (past_ > kMostChanged && i >= half && i < past_ - half) continue;
    Ids changed = ids_;
    changed[static_cast<std::size_t>(i)] = other_[static_cast<std::size_t>(i)];
    p.runs[fmt::format("changed.{}", i)] = after(slice(changed, 0, past_), rest_);
    p.runs[fmt::format("changed_whole.{}", i)] = from(whole(changed), past_);
  }
}

// One past handed over twice; two alive at once; a batch of two; a copy that goes on while the other is fed; a past
// that was longer.
void Recorder::second_uses(check::Probes& p) {
  const Ids prefix = slice(ids_, 0, past_), other = slice(other_, 0, past_), other_rest = slice(other_, past_, last_);
  const PastPtr once = program_.call({prefix}).past;
  if (once == nullptr) return;
  program_.call({rest_}, once);
  p.twice_lengths = {once->length()};
  p.runs["twice"] = logits(program_.call({rest_}, once).logits[0]);
  p.twice_lengths.push_back(once->length());

  const PastPtr a = program_.call({prefix}).past, b = program_.call({other}).past;
  p.runs["beside_another"] = logits(program_.call({rest_}, a).logits[0]);
  p.runs["other_past"] = logits(program_.call({rest_}, b).logits[0]);

  const PastPtr both = program_.call({prefix, other}).past;
  const Out batched = program_.call({rest_, rest_}, both);
  p.runs["batched_past"] = logits(batched.logits[0]);
  p.runs["batched_other_past"] = logits(batched.logits[1]);

  const PastPtr original = program_.call({prefix}).past, fork = program_.copy(original);
  program_.call({other_rest}, original);
  p.runs["forked"] = logits(program_.call({rest_}, fork).logits[0]);

  const PastPtr longer = program_.call({joined(prefix, other_rest)}).past;
  if (program_.crop(longer, past_)) {
    p.cropped_length = longer->length();
    p.runs["cropped"] = logits(program_.call({rest_}, longer).logits[0]);
  }
}

void Recorder::wider(check::Probes& p) {
  Program wide = program_.in_wider_format();
  std::swap(wide, program_);
  p.wide_format = program_.format().name;
  p.runs["wide_without"] = from(whole(ids_), past_);
  p.runs["wide_with"] = after(slice(ids_, 0, past_), rest_);
  std::swap(wide, program_);
}

check::Probes Recorder::probes() {
  const Ids prefix = slice(ids_, 0, past_), other = slice(other_, 0, past_);
  check::Probes p{.past = past_};
  p.runs["whole_again"] = whole(text_);
  after(other, rest_);
  p.runs["again"] = after(prefix, rest_);
  p.runs["batched"] = from(logits(program_.call({text_, other_}).logits[0]), past_, last_);
  p.supposed["new-tokens-alone"] = whole(rest_);
  p.supposed["past-of-another-text"] = from(whole(joined(other, rest_)), past_);
  p.supposed["past-changed-in-place"] = from(whole(joined(ids_, rest_)), last_);
  p.supposed["past-not-rewound"] = from(whole(joined(joined(prefix, slice(other_, past_, last_)), rest_)), last_);
  const PastPtr kept = program_.call({prefix}).past;
  if (kept != nullptr && kept->length() > 0) {
    suppositions(p);
    changes(p);
  }
  const std::int64_t n = std::ssize(text_);
  for (const std::int64_t i : std::set<std::int64_t>{1, std::max<std::int64_t>(n / 2, 1), n - 1}) {
    p.runs[fmt::format("later.{}", i)] = from(whole(joined(slice(text_, 0, i), slice(other_, i, n))), 0, i);
  }
  second_uses(p);
  wider(p);
  return p;
}

// Fed in pieces, each with the past that the call before it handed back.
check::Recording fed(Program& program, const Ids& text, const std::vector<std::int64_t>& pieces) {
  const Shape& s = program.shape();
  check::Recording r{.description = {.name = "foreign",
                                     .family = "foreign",
                                     .system = "tests/foreign",
                                     .format = program.format().name,
                                     .values_format = program.format().name,
                                     .logits_format = program.format().name,
                                     .layers = s.layers,
                                     .width = std::max(s.width, s.inner)},
                     .ids = text,
                     .logits = {s.vocab, {}},
                     .pieces = pieces};
  PastPtr past;
  std::int64_t at = 0;
  for (const std::int64_t piece : pieces) {
    const Out out = program.call({slice(text, at, at + piece)}, past);
    r.logits.values.insert(r.logits.values.end(), out.logits[0].begin(), out.logits[0].end());
    past = out.past;
    r.past_lengths.emplace_back(past == nullptr ? 0 : past->length());
    at += piece;
  }
  return r;
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
  Recorded r{fed(program, text, {std::ssize(text)}), fed(program, text, pieces)};
  if (probes && pieces.size() > 1) r.with.probes = Recorder(program, text, std::ssize(text) - pieces.back()).probes();
  return r;
}

}  // namespace pkv::foreign
