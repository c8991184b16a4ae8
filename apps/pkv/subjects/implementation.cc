#include "subjects/implementation.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "base/error.h"
#include "check/causes.h"

namespace pkv::program {
namespace {

using model::Card;
using model::Fault;

bool has_rotary(const Card& card) { return card.positions.starts_with("rotary"); }
bool has_alibi(const Card& card) { return card.positions.starts_with("ALiBi"); }

struct Planted {
  std::string_view cause;
  void (*plant)(Fault&, std::int64_t count);
  bool (*fits)(const Card&) = [](const Card&) { return true; };
  std::int64_t count = 0;  // where none is given
};

// What has a number of its own takes it from `--as NAME=N`. Position faults are none for ALiBi, whose bias is a matter
// of distances: it has its own.
const std::vector<Planted>& planted() {
  constexpr auto positions = [](const Card& c) { return !has_alibi(c); };
  static const std::vector<Planted> all{
      {"past-ignored", [](Fault& f, auto) { f.mask = Fault::Mask::past_ignored; }},
      {"top-left-mask", [](Fault& f, auto) { f.mask = Fault::Mask::top_left; }},
      {"later-tokens-seen", [](Fault& f, auto) { f.mask = Fault::Mask::later_seen; }},
      {"position-restarted", [](Fault& f, auto) { f.position = Fault::Position::restarted; }, positions},
      {"position-one-far", [](Fault& f, auto) { f.position = Fault::Position::one_far; }, positions},
      {"position-one-short", [](Fault& f, auto) { f.position = Fault::Position::one_short; }, positions},
      {"rotary-missing", [](Fault& f, auto) { f.rotary = Fault::Rotary::missing; }, has_rotary},
      {"rotary-twice", [](Fault& f, auto) { f.rotary = Fault::Rotary::twice; }, has_rotary},
      {"alibi-over-new-tokens", [](Fault& f, auto) { f.alibi = Fault::Alibi::new_tokens_only; }, has_alibi},
      {"alibi-missing", [](Fault& f, auto) { f.alibi = Fault::Alibi::missing; }, has_alibi},
      {"heads-shifted", [](Fault& f, auto) { f.heads_shifted = true; }, [](const Card& c) { return c.kv_heads > 1; }},
      {"past-in-fp16", [](Fault& f, auto) { f.past_rounded = DType::f16; }},
      {"past-in-bf16", [](Fault& f, auto) { f.past_rounded = DType::bf16; }},
      {"first-dropped", [](Fault& f, std::int64_t n) { f.mask = Fault::Mask::first_dropped, f.count = n; },
       [](const Card&) { return true; }, 1},
      {"window", [](Fault& f, std::int64_t n) { f.mask = Fault::Mask::window, f.count = n; },
       [](const Card&) { return true; }, 4},
  };
  return all;
}

const Planted* find(std::string_view cause) {
  for (const Planted& p : planted()) {
    if (p.cause == cause) return &p;
  }
  return nullptr;
}

// What the libraries that the article used did in June 2023; see docs/causes.md.
Implementation transformers_2023(const Card& card) {
  Implementation i{.name = "transformers-2023"};
  i.keeps_no_past = card.family == "MPT" || card.family == "RoBERTa";
  if (card.family == "Falcon" && has_rotary(card)) {
    i.fault = Fault{.position = Fault::Position::restarted, .mask = Fault::Mask::top_left};
  }
  return i;
}

[[noreturn]] void no_such(const std::string& name) {
  fail_usage({.what = "no such implementation", .found = name, .hint = "--as help lists them"});
}

// "window=4"
Implementation single(const std::string& name, const Card& card) {
  const std::size_t sign = name.find('=');
  const Planted* p = find(std::string_view(name).substr(0, sign));
  if (p == nullptr) no_such(name);
  if (!p->fits(card)) {
    fail_usage({.what = "this fault has no meaning for the model",
                .expected = "one of its kind of positions and heads",
                .found = fmt::format("{} for {}", p->cause, card.family),
                .hint = "--as help"});
  }
  std::int64_t count = p->count;
  if (sign != std::string::npos) {
    const char *begin = name.data() + sign + 1, *end = name.data() + name.size();
    const auto [at, error] = std::from_chars(begin, end, count);
    if (error != std::errc() || at != end || count < 1 || p->count == 0) no_such(name);
  }
  Implementation i{.name = name, .fault = Fault{}};
  p->plant(*i.fault, count);
  return i;
}

}  // namespace

Implementation implementation(const std::string& name, const Card& card) {
  if (name.empty()) return {};
  if (name == "transformers-2023") return transformers_2023(card);
  if (name == "bitsandbytes") return {.name = name, .outliers_of_call = true};
  if (name == "past-absent") return {.name = name, .keeps_no_past = true};
  if (name == "new-tokens-alone") return {.name = name, .reads_no_past = true};
  return single(name, card);
}

std::string list_implementations() {
  std::string lines;
  const auto add = [&](std::string_view name, std::string_view sentence) {
    lines += fmt::format("{:<24}{}\n", name, sentence);
  };
  add("transformers-2023", "transformers of June 2023: MPT and RoBERTa return no past, Falcon misreads it");
  add("bitsandbytes", "with --load-in int8: outlier columns of the whole call");
  for (const std::string_view name : {"past-absent", "new-tokens-alone"}) {
    add(name, check::cause_of_name(name).statement);
  }
  for (const Planted& p : planted()) {
    const std::string number = p.count > 0 ? fmt::format("={}", p.count) : "";
    add(std::string(p.cause) + number, check::cause_of_name(p.cause).statement);
  }
  return lines;
}

std::optional<Fault> fault_of(std::span<const check::Supposition> what, const Card& card) {
  if (!card.causal) return std::nullopt;  // its logits depend on the call anyway
  Fault fault;
  for (const check::Supposition& s : what) {
    const Planted* p = find(s.cause);
    if (p == nullptr || !p->fits(card)) return std::nullopt;
    p->plant(fault, s.count);
  }
  return fault;
}

}  // namespace pkv::program
