#include "checker/check/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checker/causes/cause.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

std::int64_t positions_with_past(const Runs& r) { return r.total.positions - first_pieces_of(r).positions; }

// Of equal runs: nothing else that was seen means anything then.
bool changes_from_run_to_run(const Runs& r) {
  return r.evidence.control.shown == Answer::no && (r.subject.promises_same_bits || r.evidence.noise > r.bound.value);
}

// Logits of a text's beginning, which had no past, are not those of the whole text.
bool beginnings_move(const Runs& r) {
  return first_pieces_of(r).max_abs > r.bound.value && !changes_from_run_to_run(r);
}

// What that proves, of itself and beside the causality probe.
std::string on_beginnings(const Runs& r) {
  if (r.padding > 0) {
    return fmt::format(
        "behind {} of padding a text's beginning gets other logits, without any past: see positions and "
        "the mask of padding",
        show::counted(r.padding, "token"));
  }
  if (r.causality.holds == Answer::no) {
    return "the model looks ahead: logits change when later tokens do, which no past can undo";
  }
  if (r.causality.holds == Answer::yes) {
    return "logits depend on how many tokens the call has: those of a text's beginning, fed without any past, change "
           "when more text follows, though not with what follows";
  }
  return "logits of a text's beginning, fed without any past, change when more text follows";
}

bool broken(const Runs& r) {
  const bool same_bits = r.total.same_bits && r.evidence.control.shown != Answer::no;
  if (r.subject.promises_same_bits) return !same_bits;
  return r.total.max_abs > r.bound.value || r.total.first || r.evidence.noise > r.bound.value || parts(r.wide) ||
         r.spread.parts();
}

// Of a recording that says neither how it was fed nor what its past did.
bool past_unknown(const Runs& r) {
  const Evidence& e = r.evidence;
  return r.results.size() == 1 && r.results.front().name == recorded_run && e.exists.shown == Answer::unknown &&
         e.used.shown == Answer::unknown;
}

std::string place_name(const Place& p) {
  if (p.past < 0) return fmt::format("position {}", p.position);
  if (p.past == 0) return fmt::format("position {}, in the first call", p.position);
  return fmt::format("position {}, in a call after {}", p.position, show::counted(p.past, "token"));
}

// "21,000": two digits that count.
std::string rough(double factor) {
  if (factor >= 1e12) return fmt::format("{:.1e}", factor);
  if (factor < 10) return fmt::format("{:.1f}", factor);
  const double unit = std::pow(10.0, std::floor(std::log10(factor)) - 1);
  return show::grouped(std::llround(std::round(factor / unit) * unit));
}

// What the wide runs add: a fault that the narrow format's rounding could hide.
std::string in_wider_format(const Runs& r) {
  const WideRuns& wide = r.wide;
  if (!wide.known()) return "";
  if (!wide.agree()) {
    return fmt::format(" In {}, where rounding could explain {:.2g}, the same two runs are {} apart.", wide.format,
                       wide.bound, show::short_number(wide.apart));
  }
  if (!parts(wide)) return "";
  return fmt::format(
      " In {} the same two runs agree, and of the logits in {} those {} the past are further from it: {} "
      "against {}.",
      wide.format, r.bound.values_format, wide.with > wide.without ? "with" : "without",
      show::short_number(std::max(wide.with, wide.without)), show::short_number(std::min(wide.with, wide.without)));
}

std::string against_bound(double apart, const Runs& r) {
  const double bound = r.bound.value;
  if (apart > bound && bound > 0 && std::isfinite(apart)) {
    return fmt::format("{} times what rounding could explain ({:.2g}).", rough(apart / bound), bound);
  }
  if (apart > bound) return fmt::format("more than rounding could explain ({:.2g}).", bound);
  if (!r.subject.promises_same_bits) {
    return fmt::format("rounding in {} could explain that (up to {:.2g}).", r.bound.values_format, bound);
  }
  return fmt::format("rounding could explain that (up to {:.2g}), but this system promises the same bits.", bound);
}

// What the mean over rows adds, where no logit by itself is beyond its bound.
std::string in_the_mean(const Runs& r) {
  if (!r.spread.parts() || r.total.max_abs > r.bound.value) return "";
  if (!r.spread.parts_in_the_mean()) {
    return fmt::format(
        " That is too much for one logit: it moves by {:.1f} % of its row's spread, where rounding explains {:.1f} %.",
        100 * r.spread.farthest, 100 * r.spread.farthest_could());
  }
  return fmt::format(
      " That is too much for {}: they move by {:.1f} % of their spread in the mean, where rounding explains {:.1f} %.",
      show::counted(r.spread.rows, "position"), 100 * r.spread.moved(), 100 * r.spread.could());
}

std::string numbers_apart(const Runs& r) {
  const std::string where = r.total.first ? fmt::format(" They first part at {}.", place_name(*r.total.first)) : "";
  const double apart = r.total.max_abs;
  if (apart == 0 && r.wide.known() && !r.wide.agree()) {
    return "fed in pieces, the text gets the logits that it gets fed whole." + in_wider_format(r);
  }
  if (apart == 0) {
    return "fed in pieces, zeros among the logits change their sign." + where + " This system promises the same bits.";
  }
  return fmt::format("fed in pieces, the text gets other logits than fed whole.{} At most they are {} apart: {}{}",
                     where, show::short_number(apart), against_bound(apart, r), in_wider_format(r) + in_the_mean(r));
}

// The likeliest of the causes whose logits were computed.
std::string simulated_cause(const Causes& found) {
  if (found.causes.empty() || found.causes.front().rows == 0) return {};
  const Explanation& e = found.causes.front();
  return e.confirmed ? e.statement : fmt::format("most likely {} (that {})", e.statement, e.evidence);
}

// What the system says of itself was computed, and is not what was seen.
bool declaration_refuted(const Causes& found) {
  return std::any_of(found.causes.begin(), found.causes.end(),
                     [](const Explanation& e) { return e.is(CauseId::rows_not_independent) && !e.confirmed; });
}

// What says most about a failure; empty when nothing but the numbers does.
std::string cause_of(const Runs& r, const Causes& found) {
  const Evidence& e = r.evidence;
  if (changes_from_run_to_run(r)) return e.control.sentence;
  for (const Finding* f : {&e.exists, &e.length}) {
    if (f->shown == Answer::no) return f->sentence;
  }
  if (!found.causes.empty() && found.causes.front().confirmed && found.causes.front().rows > 0)
    return simulated_cause(found);
  const bool declared = !r.subject.breaks_law.empty();
  if (declared && !declaration_refuted(found)) return r.subject.breaks_law;
  if (!declared && beginnings_move(r)) return on_beginnings(r);
  for (const Finding* f : {&e.used, &e.repeats, &e.again}) {
    if (f->shown == Answer::no) return f->sentence;
  }
  return simulated_cause(found);
}

// The logits compared would pass; two runs of the control do not.
bool only_control_broken(const Runs& r) {
  return changes_from_run_to_run(r) &&
         (r.total.same_bits || (!r.subject.promises_same_bits && r.total.max_abs <= r.bound.value));
}

std::string differs_sentence(const Runs& r, const Causes& found) {
  const std::string cause = cause_of(r, found);
  if (!broken(r)) return "the logits agree, but " + cause + ".";
  if (only_control_broken(r)) return r.evidence.control.sentence + ": " + against_bound(r.evidence.noise, r);
  return cause.empty() ? numbers_apart(r) : cause + ". " + show::capital(numbers_apart(r));
}

// Whether what a tie leaves out was compared in the wider format.
bool compared_wide(const Runs& r) { return r.wide.known() && r.wide.every_row && r.wide.agree(); }

std::string tie_sentence(const Runs& r) {
  const RouterTie& t = *r.tie;
  return fmt::format(
      "a router's tie flipped at token {}: in layer {} the scores of two experts are {:.2g} apart, where rounding "
      "could "
      "move one by {:.2g}. Positions from there on went through other experts and are not compared in {}",
      t.token, t.layer, t.apart, t.could, r.bound.values_format);
}

std::string empty_sentence(const Runs& r, const Causes& found) {
  if (r.tie && positions_with_past(r) == 0) {
    return tie_sentence(r) +
           ", so that no past was tested; a run in fp32, or one recorded with wider runs, has no ties.";
  }
  if (positions_with_past(r) == 0) return "nothing was fed in pieces, so no past was tested.";
  if (past_unknown(r)) {
    return "the logits agree, but that shows nothing: the recording does not say how it was fed (pieces), and nothing "
           "in it shows a past (past_lengths, probes).";
  }
  return "the logits agree, but that shows nothing: " + cause_of(r, found) + ".";
}

std::string sentence_of(Outcome outcome, const Runs& r, const Causes& found) {
  switch (outcome) {
    case Outcome::not_finite:
      return fmt::format("logits are NaN or infinite, first at {}.", place_name(*r.total.first_not_finite));
    case Outcome::differs:
      return differs_sentence(r, found);
    case Outcome::empty:
      return empty_sentence(r, found);
    case Outcome::identical:
      return fmt::format(
          "{}{} equal bit for bit, with and without the past.", positions_with_past(r) > 1 ? "all " : "",
          show::counted(positions_with_past(r), "position") + (positions_with_past(r) > 1 ? " are" : " is"));
    case Outcome::within_rounding:
      break;
  }
  if (r.tie && positions_with_past(r) == 0) {
    return fmt::format("{}. In {}, where rounding could explain {:.2g}, the same two runs are {} apart.",
                       tie_sentence(r), r.wide.format, r.wide.bound, show::short_number(r.wide.apart));
  }
  return fmt::format(
      "with the past and without it the logits are at most {} apart at {} compared; rounding alone "
      "could explain {:.2g}.",
      show::short_number(r.total.max_abs), show::counted(positions_with_past(r), "position"), r.bound.value);
}

void add_look_ahead(const Runs& r, std::vector<std::string>& reasons) {
  if (!beginnings_move(r)) return;
  reasons.push_back(fmt::format("Logits of a first part, fed without any past, change by up to {} {}.",
                                show::short_number(first_pieces_of(r).max_abs),
                                r.padding > 0 ? "behind the padding" : "when more text follows"));
}

// A difference that rounding could explain, and something else explains better, or nothing does.
void add_doubt(const Causes& found, std::vector<std::string>& reasons) {
  if (found.causes.empty()) return;
  const Explanation& e = found.causes.front();
  if (!e.is(CauseId::rounding)) {
    reasons.push_back(
        fmt::format("So small a difference may be rounding, but this explains it better: {}.", e.statement));
  } else if (!e.confirmed) {
    reasons.push_back("Without a past the logits move much less, so it need not be rounding: see the cause.");
  }
}

// What would look the same as this and be a fault.
void add_blind_spot(const Runs& r, std::vector<std::string>& reasons) {
  const std::optional<double> blind = blind_spot(r);
  if (!blind) return;
  if (r.wide.known() && r.wide.every_row) {
    reasons.push_back(fmt::format(
        "Not seen would be a fault in {} alone that moves logits by less than {:.2g}; one that is there in {}, too, "
        "would show from {:.2g} on.",
        r.bound.values_format, *blind, r.wide.format, r.wide.bound));
    return;
  }
  reasons.push_back(fmt::format("A fault that moves logits by less than {:.2g} would look the same here{}.", *blind,
                                r.bound.sharper.empty() ? "" : "; to see one, " + r.bound.sharper));
}

std::vector<std::string> reasons_of(Outcome outcome, const Runs& r, const Causes& found) {
  std::vector<std::string> reasons;
  if (r.tie && outcome != Outcome::empty) {
    reasons.push_back(show::capital(tie_sentence(r)) +
                      (compared_wide(r) ? fmt::format("; in {} the runs agree at all of them.", r.wide.format) : "."));
  }
  if (outcome == Outcome::within_rounding) add_doubt(found, reasons);
  add_look_ahead(r, reasons);
  if (r.evidence.control.shown == Answer::no) {
    reasons.push_back(show::capital(r.evidence.control.sentence) +
                      ", so not all of the difference is the past's doing.");
  }
  if (r.total.top_flips > 0) {
    reasons.push_back(fmt::format("The most likely next token changes at {} of {}.", show::grouped(r.total.top_flips),
                                  show::counted(r.total.positions, "position")));
  }
  const bool apart = r.total.max_abs > 0 || r.evidence.noise > 0;
  if (apart && outcome != Outcome::not_finite) reasons.push_back(r.bound.reason);
  if (outcome == Outcome::within_rounding) add_blind_spot(r, reasons);
  return reasons;
}

// A past that changes nothing, though there is one, and a cause that reproduces just that.
bool unused_for_a_reason(const Runs& r, const Causes& found) {
  return r.evidence.used.shown == Answer::no && !found.causes.empty() && found.causes.front().confirmed &&
         found.causes.front().rows > 0;
}

}  // namespace

std::string name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::identical:
      return "identical";
    case Outcome::within_rounding:
      return "equal within rounding";
    case Outcome::differs:
      return "differs";
    case Outcome::empty:
      return "test is empty";
    case Outcome::not_finite:
      break;
  }
  return "not finite";
}

Outcome outcome_of(const Runs& r) {
  const Evidence& e = r.evidence;
  const bool absent = e.exists.shown == Answer::no;
  if (r.total.not_finite > 0) return Outcome::not_finite;
  if (broken(r) || (!absent && e.length.shown == Answer::no)) return Outcome::differs;
  if (e.again.shown == Answer::no) return Outcome::differs;
  const bool none_compared = positions_with_past(r) == 0 && !(r.tie && compared_wide(r));
  if (absent || e.used.shown == Answer::no || none_compared || past_unknown(r)) return Outcome::empty;
  if (r.tie) return Outcome::within_rounding;
  return r.total.same_bits && e.control.shown != Answer::no ? Outcome::identical : Outcome::within_rounding;
}

std::optional<double> blind_spot(const Runs& r) {
  if (r.total.same_bits || outcome_of(r) != Outcome::within_rounding) return std::nullopt;
  return r.spread.known() ? std::min(r.bound.value, r.spread.hidden()) : r.bound.value;
}

Verdict judge(const Runs& runs, const Causes& causes) {
  Outcome outcome = outcome_of(runs);
  if (outcome == Outcome::empty && unused_for_a_reason(runs, causes)) outcome = Outcome::differs;
  return {outcome, sentence_of(outcome, runs, causes), reasons_of(outcome, runs, causes)};
}

}  // namespace pkv::check
