#include "checker/check/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Shown = Finding::Shown;

std::int64_t positions_with_past(const Report& r) { return r.total.positions - first_parts_of(r).positions; }

bool looks_ahead(const Report& r) {
  return first_parts_of(r).max_abs > r.bound.value && r.evidence.control.shown != Shown::no;
}

bool broken(const Report& r) {
  const bool same_bits = r.total.same_bits && r.evidence.control.shown != Shown::no;
  if (r.subject.promises_same_bits) return !same_bits;
  return r.total.max_abs > r.bound.value || r.evidence.noise > r.bound.value;
}

// Of a recording that says neither how it was fed nor what its past did.
bool past_unknown(const Report& r) {
  const Evidence& e = r.evidence;
  return r.results.size() == 1 && r.results.front().name == recorded_run && e.exists.shown == Shown::unknown &&
         e.used.shown == Shown::unknown;
}

Outcome outcome_of(const Report& r) {
  const Evidence& e = r.evidence;
  const bool absent = e.exists.shown == Shown::no;
  if (r.total.not_finite > 0) return Outcome::not_finite;
  if (broken(r) || (!absent && e.length.shown == Shown::no)) return Outcome::differs;
  const bool named = !r.causes.empty() && r.causes.front().confirmed && r.causes.front().rows > 0;
  if ((named && e.used.shown == Shown::no) || e.again.shown == Shown::no) return Outcome::differs;
  if (absent || e.used.shown == Shown::no || positions_with_past(r) == 0 || past_unknown(r)) return Outcome::empty;
  return r.total.same_bits && e.control.shown != Shown::no ? Outcome::identical : Outcome::within_rounding;
}

std::string place_name(const Place& p) {
  if (p.past < 0) return fmt::format("position {}", p.position);
  if (p.past == 0) return fmt::format("position {}, in the first call", p.position);
  return fmt::format("position {}, in a call after {}", p.position, counted(p.past, "token"));
}

// "21,000": two digits that count.
std::string rough(double factor) {
  if (factor >= 1e12) return fmt::format("{:.1e}", factor);
  if (factor < 10) return fmt::format("{:.1f}", factor);
  const double unit = std::pow(10.0, std::floor(std::log10(factor)) - 1);
  return grouped(std::llround(std::round(factor / unit) * unit));
}

std::string against_bound(double apart, const Report& r) {
  const double bound = r.bound.value;
  if (apart > bound && bound > 0 && std::isfinite(apart)) {
    return fmt::format("{} times what rounding could explain ({:.2g}).", rough(apart / bound), bound);
  }
  if (apart > bound) return fmt::format("more than rounding could explain ({:.2g}).", bound);
  return fmt::format("rounding could explain that (up to {:.2g}), but this system promises the same bits.", bound);
}

std::string numbers_apart(const Report& r) {
  const std::string where = r.total.first ? fmt::format(" They first part at {}.", place_name(*r.total.first)) : "";
  const double apart = r.total.max_abs;
  if (apart == 0) {
    return "fed in pieces, zeros among the logits change their sign." + where + " This system promises the same bits.";
  }
  return fmt::format("fed in pieces, the text gets other logits than fed whole.{} At most they are {} apart: {}", where,
                     short_number(apart), against_bound(apart, r));
}

// The likeliest of the causes whose logits were computed.
std::string simulated_cause(const Report& r) {
  if (r.causes.empty() || r.causes.front().rows == 0) return {};
  const Explanation& e = r.causes.front();
  return e.confirmed ? e.statement : fmt::format("most likely {} (that {})", e.statement, e.evidence);
}

// What the system says of itself was computed, and is not what was seen.
bool declaration_refuted(const Report& r) {
  return std::any_of(r.causes.begin(), r.causes.end(),
                     [](const Explanation& e) { return e.cause == "rows-not-independent" && !e.confirmed; });
}

// What says most about a failure; empty when nothing but the numbers does.
std::string cause_of(const Report& r) {
  const Evidence& e = r.evidence;
  for (const Finding* f : {&e.exists, &e.length}) {
    if (f->shown == Shown::no) return f->sentence;
  }
  if (!r.causes.empty() && r.causes.front().confirmed && r.causes.front().rows > 0) return simulated_cause(r);
  const bool declared = !r.subject.breaks_law.empty();
  if (declared && !declaration_refuted(r)) return r.subject.breaks_law;
  if (!declared && looks_ahead(r))
    return "the model looks ahead: logits change when more text follows, which no past can undo";
  for (const Finding* f : {&e.used, &e.control, &e.again}) {
    if (f->shown == Shown::no) return f->sentence;
  }
  return simulated_cause(r);
}

// The logits compared would pass; two runs of the control do not.
bool only_control_broken(const Report& r) {
  return r.total.same_bits || (!r.subject.promises_same_bits && r.total.max_abs <= r.bound.value);
}

std::string differs_sentence(const Report& r) {
  const std::string cause = cause_of(r);
  if (!broken(r)) return "the logits agree, but " + cause + ".";
  if (only_control_broken(r)) return r.evidence.control.sentence + ": " + against_bound(r.evidence.noise, r);
  return cause.empty() ? numbers_apart(r) : cause + ". " + capital(numbers_apart(r));
}

std::string empty_sentence(const Report& r) {
  if (positions_with_past(r) == 0) return "nothing was fed in pieces, so no past was tested.";
  if (past_unknown(r)) {
    return "the logits agree, but that shows nothing: the recording does not say how it was fed (pieces), and nothing "
           "in it shows a past (past_lengths, probes).";
  }
  return "the logits agree, but that shows nothing: " + cause_of(r) + ".";
}

std::string sentence_of(Outcome outcome, const Report& r) {
  switch (outcome) {
    case Outcome::not_finite:
      return fmt::format("logits are NaN or infinite, first at {}.", place_name(*r.total.first_not_finite));
    case Outcome::differs:
      return differs_sentence(r);
    case Outcome::empty:
      return empty_sentence(r);
    case Outcome::identical:
      return fmt::format("with the past and without it the logits are equal bit for bit at {}{} compared.",
                         positions_with_past(r) > 1 ? "all " : "", counted(positions_with_past(r), "position"));
    case Outcome::within_rounding:
      break;
  }
  return fmt::format(
      "with the past and without it the logits are at most {} apart at {} compared; rounding alone "
      "could explain {:.2g}.",
      short_number(r.total.max_abs), counted(positions_with_past(r), "position"), r.bound.value);
}

void add_look_ahead(const Report& r, std::vector<std::string>& reasons) {
  if (!looks_ahead(r)) return;
  reasons.push_back(
      fmt::format("Logits of a first part, fed without any past, change by up to {} when more text follows.",
                  short_number(first_parts_of(r).max_abs)));
}

// A difference that rounding could explain, and something else explains better, or nothing does.
void add_doubt(const Report& r, std::vector<std::string>& reasons) {
  if (r.causes.empty()) return;
  const Explanation& e = r.causes.front();
  if (e.cause != "rounding") {
    reasons.push_back(
        fmt::format("So small a difference may be rounding, but this explains it better: {}.", e.statement));
  } else if (!e.confirmed) {
    reasons.push_back("Without a past the logits move much less, so it need not be rounding: see the cause.");
  }
}

std::vector<std::string> reasons_of(Outcome outcome, const Report& r) {
  std::vector<std::string> reasons;
  if (outcome == Outcome::within_rounding) add_doubt(r, reasons);
  add_look_ahead(r, reasons);
  if (r.evidence.control.shown == Shown::no) {
    reasons.push_back(capital(r.evidence.control.sentence) + ", so not all of the difference is the past's doing.");
  }
  if (r.total.top_flips > 0) {
    reasons.push_back(fmt::format("The most likely next token changes at {} of {}.", grouped(r.total.top_flips),
                                  counted(r.total.positions, "position")));
  }
  const bool apart = r.total.max_abs > 0 || r.evidence.noise > 0;
  if (apart && outcome != Outcome::not_finite) reasons.push_back(r.bound.reason);
  return reasons;
}

}  // namespace

Verdict judge(const Report& report) {
  const Outcome outcome = outcome_of(report);
  return {outcome, sentence_of(outcome, report), reasons_of(outcome, report)};
}

}  // namespace pkv::check
