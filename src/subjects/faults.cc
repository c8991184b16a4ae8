#include "subjects/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <vector>

#include "base/error.h"
#include "checker/causes/cause.h"
#include "engine/model/architectures.h"

namespace pkv::subjects {
namespace {

using check::CauseId;
using model::Card;
using model::Fault;
using model::Positions;

check::Traits traits_of(const Card& card) {
  const auto windows = std::ranges::count_if(card.windows, [](std::int64_t w) { return w > 0; });
  const bool attends = card.layers_with_keys() > 0;
  const std::vector<model::StateShape> states = card.states();
  return {.causal = card.causal,
          .rotary = attends && card.positions == Positions::rotary,
          .alibi = attends && card.positions == Positions::alibi,
          .kv_heads = attends ? card.kv_heads : 0,
          .windows = windows > 0,
          .some_windows =
              windows > 0 &&
              windows<std::ssize(card.windows),
                      .turns_by_layer = std::ranges::adjacent_find(card.turns, std::not_equal_to()) != card.turns.end(),
                      .turns_by_length = card.short_texts> 0,
          .head_norms = card.head_norms,
          .caps_scores = card.caps_scores,
          .convolves = std::ranges::any_of(states, [](const auto& s) { return s.inputs > 0; }),
          .recurs = std::ranges::any_of(states, [](const auto& s) { return s.heads > 0; }),
          .limits_steps = card.limits_steps,
          .sinks = card.sinks,
          .experts = card.experts > 0};
}

// How the engine is made faulty by one cause.
struct Plant {
  CauseId cause;
  void (*in_arithmetic)(Fault&, std::int64_t count) = nullptr;  // simulates the cause, too
  void (*around_it)(Implementation&) = nullptr;                 // where `--as` does it in another way
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

template <Fault::Alibi alibi>
void bias(Fault& f, std::int64_t) {
  f.alibi = alibi;
}
void attend_both_ways(Fault& f, std::int64_t) { f.mask = Mask::both_ways, f.keys = std::int64_t{1} << 40; }
void leave_heads_bare(Fault& f, std::int64_t) { f.bare_heads = true; }
void leave_uncapped(Fault& f, std::int64_t) { f.uncapped = true; }
void hide_sinks(Fault& f, std::int64_t) { f.unsunk = true; }
void choose_otherwise(Fault& f, std::int64_t) { f.high_ties = true; }
void sum_roughly(Fault& f, std::int64_t) { f.rough_experts = true; }
void multiply_rows_apart(Fault& f, std::int64_t) { f.rows_apart = true; }

template <Fault::State state>
void misstate(Fault& f, std::int64_t count) {
  f.state = state, f.steps = count;
}

using Keeps = Implementation::Keeps;

template <Keeps keeps>
void keep(Implementation& i) {
  i.keeps = keeps;
}
void share_outliers(Implementation& i) { i.outliers_of_call = true; }
void add_noise(Implementation& i) { i.noise = 0.01f; }

// In the order of `--as help`. Which models a cause has a meaning for, and the number that it has where none is given,
// are in its row (checker/causes/list.cc).
constexpr Plant kPlants[] = {
    {CauseId::past_absent, nullptr, keep<Keeps::nothing>},
    {CauseId::new_tokens_alone, nullptr, keep<Keeps::unread>},
    {CauseId::past_of_another_text, nullptr, keep<Keeps::first_of_length>},
    {CauseId::past_changed_in_place, nullptr, keep<Keeps::shared_in_forks>},
    {CauseId::past_not_rewound, nullptr, keep<Keeps::what_was_rewound>},
    {CauseId::state_not_rewound, misstate<Fault::State::not_rewound>, keep<Keeps::states_rewound>},
    {CauseId::past_shared, nullptr, keep<Keeps::one_for_all>},
    {CauseId::batch_rows_mixed, nullptr, keep<Keeps::mixed_in_calls>},
    {CauseId::not_deterministic, nullptr, add_noise},
    {CauseId::past_ignored, hide<Mask::past_ignored>},
    {CauseId::top_left_mask, hide<Mask::top_left>},
    {CauseId::later_tokens_seen, hide<Mask::later_seen>},
    {CauseId::one_key_too_many, hide<Mask::one_more>},
    {CauseId::position_restarted, place<Position::restarted>},
    {CauseId::position_one_far, place<Position::shifted, 1>},
    {CauseId::position_one_short, place<Position::shifted, -1>},
    {CauseId::position_frozen, place<Position::frozen>},
    {CauseId::rotary_missing, turn<Rotary::missing>},
    {CauseId::rotary_twice, turn<Rotary::twice>},
    {CauseId::rotary_interleaved, turn<Rotary::interleaved>},
    {CauseId::query_rotated_late, turn<Rotary::query_late>},
    {CauseId::rope_of_other_layers, turn<Rotary::other_layers>},
    {CauseId::rope_of_length, turn<Rotary::of_length>},
    {CauseId::head_norms_missing, leave_heads_bare},
    {CauseId::soft_cap_missing, leave_uncapped},
    {CauseId::sink_missing, hide_sinks},
    {CauseId::tie_broken_otherwise, choose_otherwise},
    {CauseId::expert_batch, sum_roughly},
    {CauseId::alibi_over_new_tokens, bias<Fault::Alibi::new_tokens_only>},
    {CauseId::alibi_missing, bias<Fault::Alibi::missing>},
    {CauseId::heads_shifted, change<Content::heads_shifted>},
    {CauseId::rows_and_heads_swapped, change<Content::transposed>},
    {CauseId::values_shifted, change<Content::values_shifted>},
    {CauseId::hole_in_past, change<Content::hole>},
    {CauseId::last_of_past_lost, change<Content::last_lost>},
    {CauseId::past_in_fp16, change<Content::fp16>},
    {CauseId::past_in_bf16, change<Content::bf16>},
    {CauseId::past_in_int8, change<Content::int8>},
    {CauseId::state_dropped, misstate<Fault::State::matrices_dropped>},
    {CauseId::conv_dropped, misstate<Fault::State::inputs_dropped>},
    {CauseId::first_token_only, misstate<Fault::State::first_of_call>},
    {CauseId::state_in_bf16, misstate<Fault::State::bf16>},
    {CauseId::step_differs, misstate<Fault::State::unlimited>},
    {CauseId::state_of_elsewhere, misstate<Fault::State::elsewhere>},
    {CauseId::attends_both_ways, attend_both_ways},
    {CauseId::prefix_seen_whole, hide<Mask::both_ways>},
    {CauseId::first_dropped, hide<Mask::first_dropped>},
    {CauseId::window, hide<Mask::window>},
    {CauseId::layer_window, hide<Mask::layer_window>},
    {CauseId::windows_missing, hide<Mask::windows_missing>},
    {CauseId::windows_swapped, hide<Mask::windows_swapped>},
    {CauseId::window_of_call, hide<Mask::window_of_call>},
    {CauseId::position_from_padding, place<Position::shifted>},
    {CauseId::position_stops, place<Position::capped>},
    {CauseId::rows_not_independent, multiply_rows_apart, share_outliers},
};

const Plant* plant_of(CauseId cause) {
  const auto* at =
      std::find_if(std::begin(kPlants), std::end(kPlants), [&](const Plant& p) { return p.cause == cause; });
  return at == std::end(kPlants) ? nullptr : at;
}

// Null where no cause of that name can be planted.
const Plant* plant_named(std::string_view name) {
  const check::Cause* cause = check::find_cause(name);
  return cause == nullptr ? nullptr : plant_of(cause->id);
}

bool fits(CauseId cause, const Card& card) {
  const check::Cause& c = check::cause_of(cause);
  return c.fits == nullptr || c.fits(traits_of(card));
}

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

[[noreturn]] void no_such(const std::string& name) {
  fail_usage({.what = "no such implementation", .found = name, .hint = "--as help lists them"});
}

// One of the names in "window=4+past-in-fp16".
struct Request {
  const Plant* plant;
  std::int64_t count;
};

Request request(const std::string& name) {
  const std::size_t sign = name.find('=');
  const Plant* p = plant_named(std::string_view(name).substr(0, sign));
  if (p == nullptr || p->in_arithmetic == nullptr) no_such(name);
  Request one{p, check::cause_of(p->cause).number.example};
  if (sign == std::string::npos) return one;
  const bool has_number = check::cause_of(p->cause).has_number();
  const char *begin = name.data() + sign + 1, *end = name.data() + name.size();
  const auto [at, error] = std::from_chars(begin, end, one.count);
  if (error != std::errc() || at != end || one.count < 1 || !has_number) no_such(name);
  return one;
}

std::vector<Request> requests(const std::string& names) {
  std::vector<Request> all;
  for (std::size_t from = 0; from <= names.size();) {
    const std::size_t plus = std::min(names.find('+', from), names.size());
    all.push_back(request(names.substr(from, plus - from)));
    from = plus + 1;
  }
  return all;
}

void require_fit(CauseId cause, const Card& card) {
  if (fits(cause, card)) return;
  fail_usage({.what = "this fault has no meaning for the model",
              .expected = "one of its kind of positions, heads and layers",
              .found = fmt::format("{} for {}", check::cause_of(cause).name, card.family),
              .hint = "--as help"});
}

void plant(Fault& fault, const Request& one, const Card& card) {
  require_fit(one.plant->cause, card);
  one.plant->in_arithmetic(fault, one.count);
}

// Whatever the model; none where it is named by faults of the arithmetic.
std::optional<Implementation> of_any_model(const std::string& name) {
  Implementation i{.name = name};
  if (name.empty()) return i;
  const Plant* p = plant_named(name);
  if (name == "bitsandbytes") {
    share_outliers(i);
  } else if (p != nullptr && p->around_it != nullptr) {
    p->around_it(i);
  } else {
    return std::nullopt;
  }
  return i;
}

}  // namespace

void require_implementation(const std::string& name) {
  if (name != kTransformers2023 && !of_any_model(name)) requests(name);
}

Implementation implementation(const std::string& name, const Card& card) {
  if (name == kTransformers2023) return transformers_2023(card);
  if (auto any = of_any_model(name)) {
    if (const Plant* p = plant_named(name)) require_fit(p->cause, card);
    return *any;
  }
  Implementation i{.name = name, .fault = Fault{}};
  for (const Request& one : requests(name)) plant(*i.fault, one, card);
  return i;
}

// Loading in 8 and 4 bits replaced nn.Linear only; GPT-2's layers are Conv1D.
std::string load_as(const std::string& name, const model::Source& source, model::LoadOptions& options) {
  if (const auto any = of_any_model(name)) options.int8_outliers_of_call |= any->outliers_of_call;
  if (name != kTransformers2023 || !options.quantize) return {};
  const auto* architecture = model::find_architecture(source.config().text_or({"model_type"}, ""));
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
       .sentence = "transformers of June 2023: MPT and RoBERTa return no past, Falcon misreads it, GPT-2's layers stay "
                   "in fp16 whatever they are loaded in"},
      {.name = "bitsandbytes", .sentence = "with --load-in int8: outlier columns of the whole call"}};
  for (const Plant& p : kPlants) {
    const check::Cause& c = check::cause_of(p.cause);
    const std::string number = c.has_number() ? fmt::format("={}", c.number.example) : "";
    all.push_back({.name = std::string(c.name) + number, .sentence = c.statement});
  }
  return all;
}

std::optional<Fault> fault_of(std::span<const session::Supposition> what, const Card& card) {
  Fault fault;
  for (const session::Supposition& s : what) {
    const Plant* p = plant_of(s.cause);
    if (p == nullptr || p->in_arithmetic == nullptr || !fits(s.cause, card)) return std::nullopt;
    p->in_arithmetic(fault, s.count);
  }
  return fault;
}

}  // namespace pkv::subjects
