#include "subjects/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "engine/model/architectures.h"

namespace pkv::subjects {
namespace {

using model::Card;
using model::Fault;
using model::Positions;

struct FaultRow {
  std::string_view cause;
  void (*plant)(Fault&, std::int64_t count);
  bool (*fits)(const Card&) = [](const Card& c) { return c.causal; };
  std::int64_t count = 0;  // where none is given
};

using Position = Fault::Position;
using Mask = Fault::Mask;
using Content = Fault::Content;
using Rotary = Fault::Rotary;

template <Position position, std::int64_t steps = 0>
void place(Fault& f, std::int64_t count) {
  f.position = position, f.steps = steps != 0 ? steps : count;
}
template <Mask mask>
void hide(Fault& f, std::int64_t count) {
  f.mask = mask, f.keys = count;
}
template <Content content>
void change(Fault& f, std::int64_t) {
  f.content = content;
}
template <Rotary rotary>
void turn(Fault& f, std::int64_t) {
  f.rotary = rotary;
}

constexpr std::int64_t kWholeText = std::int64_t{1} << 40;

bool has_places(const Card& c) { return c.causal && c.positions != Positions::alibi; }
bool turns(const Card& c) { return c.causal && c.positions == Positions::rotary; }
bool biased(const Card& c) { return c.causal && c.positions == Positions::alibi; }
bool many_heads(const Card& c) { return c.causal && c.kv_heads > 1; }
bool any(const Card&) { return true; }

// The faults by the names of their causes. A fault with a number takes it from `--as NAME=N`. Faults of positions have
// no meaning for ALiBi, whose bias depends on distances alone; ALiBi has faults of its own.
const std::vector<FaultRow>& fault_rows() {
  static const std::vector<FaultRow> all{
      {"past-ignored", hide<Mask::past_ignored>},
      {"top-left-mask", hide<Mask::top_left>},
      {"later-tokens-seen", hide<Mask::later_seen>},
      {"one-key-too-many", hide<Mask::one_more>},
      {"position-restarted", place<Position::restarted>, has_places},
      {"position-one-far", place<Position::shifted, 1>, has_places},
      {"position-one-short", place<Position::shifted, -1>, has_places},
      {"position-frozen", place<Position::frozen>, has_places},
      {"rotary-missing", turn<Rotary::missing>, turns},
      {"rotary-twice", turn<Rotary::twice>, turns},
      {"rotary-interleaved", turn<Rotary::interleaved>, turns},
      {"query-rotated-late", turn<Rotary::query_late>, turns},
      {"alibi-over-new-tokens", [](Fault& f, auto) { f.alibi = Fault::Alibi::new_tokens_only; }, biased},
      {"alibi-missing", [](Fault& f, auto) { f.alibi = Fault::Alibi::missing; }, biased},
      {"heads-shifted", change<Content::heads_shifted>, many_heads},
      {"rows-and-heads-swapped", change<Content::transposed>, many_heads},
      {"values-shifted", change<Content::values_shifted>},
      {"hole-in-past", change<Content::hole>},
      {"last-of-past-lost", change<Content::last_lost>},
      {"past-in-fp16", change<Content::fp16>},
      {"past-in-bf16", change<Content::bf16>},
      {"past-in-int8", change<Content::int8>},
      {"attends-both-ways", [](Fault& f, auto) { f.mask = Mask::both_ways, f.keys = kWholeText; }, any},
      {"prefix-seen-whole", hide<Mask::both_ways>, [](const Card& c) { return c.causal; }, 4},
      {"first-dropped", hide<Mask::first_dropped>, [](const Card& c) { return c.causal; }, 1},
      {"window", hide<Mask::window>, [](const Card& c) { return c.causal; }, 4},
      {"window-of-call", hide<Mask::window_of_call>, [](const Card& c) { return c.causal; }, 4},
      {"position-from-padding", place<Position::shifted>, has_places, 3},
      {"position-stops", place<Position::capped>, has_places, 8},
      {"rows-not-independent", [](Fault& f, auto) { f.rows_apart = true; }, any},
  };
  return all;
}

const FaultRow* find(std::string_view cause) {
  for (const FaultRow& p : fault_rows()) {
    if (p.cause == cause) return &p;
  }
  return nullptr;
}

using Keeps = Implementation::Keeps;

constexpr std::string_view kTransformers2023 = "transformers-2023";

// What the libraries that the article used did in June 2023; see docs/causes.md.
Implementation transformers_2023(const Card& card) {
  Implementation i{.name = std::string(kTransformers2023)};
  if (card.past_in_2023 == model::PastIn2023::absent) i.keeps = Keeps::nothing;
  if (card.past_in_2023 == model::PastIn2023::misread) {
    i.fault = Fault{.position = Position::restarted, .mask = Mask::top_left};
  }
  return i;
}

// Faults that are none of the arithmetic's.
struct KeepsRow {
  std::string_view cause;
  Keeps keeps;
};
constexpr KeepsRow kKeepsRows[] = {{"past-absent", Keeps::nothing},
                                   {"new-tokens-alone", Keeps::unread},
                                   {"past-of-another-text", Keeps::first_of_length},
                                   {"past-changed-in-place", Keeps::shared_in_forks},
                                   {"past-not-rewound", Keeps::what_was_rewound}};
constexpr float kNoise = 0.01f;

[[noreturn]] void no_such(const std::string& name) {
  fail_usage({.what = "no such implementation", .found = name, .hint = "--as help lists them"});
}

struct Request {
  const FaultRow* row;
  std::int64_t count;
};

// "window=4"
Request request(const std::string& name) {
  const std::size_t sign = name.find('=');
  const FaultRow* p = find(std::string_view(name).substr(0, sign));
  if (p == nullptr) no_such(name);
  Request one{p, p->count};
  if (sign != std::string::npos) {
    const char *begin = name.data() + sign + 1, *end = name.data() + name.size();
    const auto [at, error] = std::from_chars(begin, end, one.count);
    if (error != std::errc() || at != end || one.count < 1 || p->count == 0) no_such(name);
  }
  return one;
}

// "window=4+past-in-fp16"
std::vector<Request> requests(const std::string& names) {
  std::vector<Request> all;
  for (std::size_t from = 0; from <= names.size();) {
    const std::size_t plus = std::min(names.find('+', from), names.size());
    all.push_back(request(names.substr(from, plus - from)));
    from = plus + 1;
  }
  return all;
}

void plant(Fault& fault, const Request& one, const Card& card) {
  const auto& [p, count] = one;
  if (!p->fits(card)) {
    fail_usage({.what = "this fault has no meaning for the model",
                .expected = "one of its kind of positions and heads",
                .found = fmt::format("{} for {}", p->cause, card.family),
                .hint = "--as help"});
  }
  p->plant(fault, count);
}

// Whatever the model; none where it is named by faults.
std::optional<Implementation> of_any_model(const std::string& name) {
  if (name.empty()) return Implementation{};
  if (name == "bitsandbytes" || name == "rows-not-independent") return {{.name = name, .outliers_of_call = true}};
  if (name == "not-deterministic") return {{.name = name, .noise = kNoise}};
  for (const KeepsRow& k : kKeepsRows) {
    if (name == k.cause) return {{.name = name, .keeps = k.keeps}};
  }
  return std::nullopt;
}

}  // namespace

void require_implementation(const std::string& name) {
  if (name != kTransformers2023 && !of_any_model(name)) requests(name);
}

Implementation implementation(const std::string& name, const Card& card) {
  if (name == kTransformers2023) return transformers_2023(card);
  if (auto any = of_any_model(name)) return *any;
  Implementation i{.name = name, .fault = Fault{}};
  for (const Request& one : requests(name)) plant(*i.fault, one, card);
  return i;
}

// Loading in 8 and 4 bits replaced nn.Linear only; GPT-2's layers are Conv1D.
std::string load_as(const std::string& name, const hf::Folder& folder, model::LoadOptions& options) {
  if (name != kTransformers2023 || !options.quantize) return {};
  const auto* architecture = model::find_architecture(folder.config().text_or({"model_type"}, ""));
  if (architecture == nullptr || !architecture->conv1d) return {};
  const std::string_view asked = quant::name_of(options.quantize->format);
  options.quantize.reset();
  options.dtype = DType::f16;
  return fmt::format("as transformers-2023: the layers are Conv1D, which loading in {} left out; they stay in fp16",
                     asked);
}

std::vector<Choice> implementations() {
  std::vector<Choice> all{
      {.name = std::string(kTransformers2023),
       .cause = {},
       .sentence = "transformers of June 2023: MPT and RoBERTa return no past, Falcon misreads it, GPT-2's layers stay "
                   "in fp16 whatever they are loaded in"},
      {.name = "bitsandbytes", .cause = {}, .sentence = "with --load-in int8: outlier columns of the whole call"}};
  const auto add = [&](std::string name, std::string_view cause) {
    all.push_back({.name = std::move(name), .cause = cause, .sentence = {}});
  };
  for (const KeepsRow& k : kKeepsRows) add(std::string(k.cause), k.cause);
  add("not-deterministic", "not-deterministic");
  for (const FaultRow& p : fault_rows()) {
    add(p.count > 0 ? fmt::format("{}={}", p.cause, p.count) : std::string(p.cause), p.cause);
  }
  return all;
}

std::optional<Fault> fault_of(std::span<const session::Supposition> what, const Card& card) {
  Fault fault;
  for (const session::Supposition& s : what) {
    const FaultRow* p = find(s.cause);
    if (p == nullptr || !p->fits(card)) return std::nullopt;
    p->plant(fault, s.count);
  }
  return fault;
}

}  // namespace pkv::subjects
