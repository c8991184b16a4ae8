// Everything that a check found, as data, and how it is shown. The renderers are pure functions of the report; the JSON
// holds all of it. Nobody prints here, and colour is the caller's choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/compare/bound.h"
#include "checker/compare/compare.h"
#include "checker/compare/statistics.h"
#include "checker/session/session.h"
#include "show/environment.h"

namespace pkv::check {

// What an experiment of the plan came to.
struct Result {
  std::string name;
  std::string sentence;
  std::int64_t runs = 0;
  Difference difference;
  std::string left_out;  // why it was not done: "the system cannot fork a past"; empty when it was
};

// The result whose positions had no past: the parts fed first, against the same positions of the whole text.
inline constexpr std::string_view first_parts = "first parts";
inline constexpr std::string_view recorded_run = "recorded run";  // nobody knows how it was fed

// One thing to be sure of before logits mean anything.
struct Finding {
  enum class Shown { yes, no, unknown };
  Shown shown = Shown::unknown;
  std::string sentence;
};

// With the past taken away, or another text put in it, logits must move, or nothing was tested. Both are the largest
// |Δ| against the logits with the right past.
struct Probe {
  std::int64_t past = 0;
  double without_it = 0;
  double with_another = 0;
};

struct Evidence {
  Finding exists;   // the system reports a past after every call
  Finding length;   // it holds as many tokens as were fed
  Finding used;     // every probe moves the logits
  Finding control;  // the same whole run twice is the same
  // What follows a past that was used before is not refused.
  Finding again{Finding::Shown::unknown, "whether a past that was used before is taken again is not known"};
  std::vector<Probe> probes;
  double noise = 0;  // largest |Δ| of the control
};

enum class Outcome {
  identical,        // every bit of every logit compared
  within_rounding,  // no further apart than rounding explains, and the system promises no more
  differs,
  empty,       // logits agree, but nothing shows that a past took part
  not_finite,  // NaN or infinite logits
};

struct Verdict {
  Outcome outcome = Outcome::empty;
  std::string sentence;              // what was found, for someone who knows what a past is
  std::vector<std::string> reasons;  // sentences: what goes with it, the gravest first

  bool holds() const { return outcome == Outcome::identical || outcome == Outcome::within_rounding; }
};

// Those worth showing, in order: an absent past has no length to speak of.
std::vector<const Finding*> findings_to_show(const Evidence& evidence);

// "identical", "equal within rounding", "differs", "test is empty", "not finite"
std::string name_of(Outcome outcome);

// What may have gone wrong, and how well it reproduces the wrong logits; see causes.h.
struct Explanation {
  std::string cause;      // "top-left-mask"; of two at once "top-left-mask + position-restarted"
  std::string statement;  // a sentence without its full stop
  std::string look_at, reference;
  std::string evidence;  // "reproduces 12 of 12 rows of logits bit for bit"
  bool confirmed = false;
  std::int64_t rows = 0, same_rows = 0;  // of logits: compared, and reproduced; 0 where other evidence tells
  double explained = 0;                  // share of the difference, at most 1; below 0 when it makes things worse
};

// One compared position, for pictures: the token at place.position, fed after place.past others. Where positions are
// too many, the worst of every few neighbours (Report::positions_of_cell). max_abs is NaN where logits are not finite.
struct Cell {
  Place place;
  double max_abs = 0;
  std::int64_t ulps = 0;
};

// Where two runs part: the first split that goes wrong, there the first position, there the first layer whose states
// differ (of a system that promises no equal bits: by more than rounding explains), there the first head. -1: not
// known.
struct Parting {
  std::int64_t past = 0, position = 0, layer = -1, head = -1;
  bool embedded = false;  // already before the first layer; then layer and head are -1
  std::string sentence;   // "after a past of 3 the token at position 3 parts in layer 0, head 2"
};

// How far apart the states after one layer are, at the split of `Parting`.
struct LayerDistance {
  double max_abs = 0;  // largest |Δ| over the new positions
  double largest = 0;  // largest |state| without past: what max_abs is to be held against
};

// The causality probe: a later token was changed; did earlier states and logits move?
struct Causality {
  Finding::Shown holds = Finding::Shown::unknown;
  std::int64_t first_layer = -1;  // from which on states of earlier positions move; -1: none, or not visible
  double moved = 0;               // largest |Δ| of an earlier logit
  std::string sentence;
};

// Counts of values in bins of equal width from `first` on.
struct Histogram {
  double first = 0, width = 0;
  std::vector<std::int64_t> counts;
};

// How many times faster the system generates with its past, where somebody measured it.
struct Gain {
  double times = 0;
  std::optional<double> error;
  std::int64_t new_tokens = 0;
};

struct Report {
  Description subject;
  std::string text;  // as fed; empty when unknown
  std::vector<std::int32_t> ids;
  std::int64_t vocab = 0;
  Table table;  // of the last position
  std::vector<Result> results;
  Difference total;
  Evidence evidence;
  Bound bound;
  std::vector<Explanation> causes;  // the likeliest first; empty when nothing differs or nothing explains it
  std::int64_t causes_tried = 0;
  std::int64_t explaining_feeds = 0, explaining_tokens = 0;  // what looking for them has cost
  std::vector<Cell> cells;  // of the experiment that tries many splits; about 4,000, or one of each
  std::int64_t positions_of_cell = 1;
  Histogram without_past, with_past;  // logits of the last position, in the same bins
  Histogram distances;                // their |Δ|
  Causality causality;
  std::optional<Parting> parting;     // of a difference, where it was looked for
  std::vector<LayerDistance> layers;  // [layers + 1]: as embedded, then after each; empty where not visible
  Verdict verdict;
  std::optional<Gain> gain;
  std::vector<std::string> notes;  // what was left out or assumed
  Environment environment;         // for whoever checks to fill in
  std::string command;             // that repeats it
};

const Difference& first_parts_of(const Report& report);  // of no positions where that result is missing

// A model of a review that could not be checked, and why.
struct NotChecked {
  std::string model, message;
};

// For a terminal of 80 columns, about 40 lines; the verdict stands at the end, where a terminal that is shorter shows
// it. `colour`: ANSI colours for marks and the verdict.
std::string report_text(const Report& report, bool colour = false);
std::string report_markdown(const Report& report);
std::string report_csv(const Report& report);    // a line per experiment, with a heading
std::string report_json(const Report& report);   // docs/schema/pkv-check-2.json; infinities and NaN are null
std::string report_html(const Report& report);   // one file, see show/page.h
std::string report_junit(const Report& report);  // XML for CI systems: a test per experiment and proof

// Many models, a line each, or all of each and a line in front. Those that could not be checked come last; in JUnit
// they are errors.
std::string summary_text(std::span<const Report> reports, std::span<const NotChecked> others = {}, bool colour = false);
std::string summary_markdown(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_csv(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_json(std::span<const Report> reports,
                         std::span<const NotChecked> others = {});  // docs/schema/pkv-review-2.json
std::string summary_html(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_junit(std::span<const Report> reports, std::span<const NotChecked> others = {});

}  // namespace pkv::check
