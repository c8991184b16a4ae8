#include <fmt/format.h>

#include "checker/check/charts.h"
#include "show/columns.h"
#include "show/vega.h"

namespace pkv::check {
namespace {

// "$over": marks and the like of what is drawn over the bars.
constexpr const char* kHistogram = R"json({
"height": 220,
"data": [{"name": "bars", "values": $bars}$more_data],
"scales": [
  {"name": "x", "type": "linear", "zero": false, "range": "width", "domain": [$first, $last]},
  {"name": "y", "type": "sqrt", "zero": true, "nice": true, "range": "height", "domain": $counts}$more_scales],
"axes": [
  {"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5, "title": "tokens"},
  {"orient": "bottom", "scale": "x", "tickCount": 8, "title": "$title"}],
"marks": [{"type": "rect", "from": {"data": "bars"}, "encode": {
  "enter": {"tooltip": {"signal":
      "datum.count + ' tokens from ' + format(datum.from, '.3g') + ' to ' + format(datum.to, '.3g')"},
    "fill": {"value": "$colour"}, "fillOpacity": {"value": $opacity}},
  "update": {"x": {"scale": "x", "field": "from"}, "x2": {"scale": "x", "field": "to"},
    "y": {"scale": "y", "field": "count"}, "y2": {"scale": "y", "value": 0}}}}$more_marks]$legends})json";

constexpr const char* kCountsOfBars = R"json({"data": "bars", "field": "count"})json";
constexpr const char* kCountsOfBoth =
    R"json({"fields": [{"data": "bars", "field": "count"}, {"data": "steps", "field": "count"}]})json";

constexpr const char* kRuns = R"json(,
  {"name": "run", "type": "ordinal", "domain": ["without past", "with past"],
   "range": ["var(--first)", "var(--second)"]})json";

constexpr const char* kStepLine = R"json(,
  {"type": "line", "from": {"data": "steps"}, "interactive": false, "encode": {
    "enter": {"stroke": {"value": "var(--second)"}, "strokeWidth": {"value": 1.75},
      "interpolate": {"value": "step-after"}},
    "update": {"x": {"scale": "x", "field": "from"}, "y": {"scale": "y", "field": "count"}}}})json";

constexpr const char* kLegend = R"json(,
"legends": [{"fill": "run", "symbolType": "square", "symbolStrokeWidth": 0}])json";

double end_of(const Histogram& h, std::size_t bins) { return h.first + static_cast<double>(bins) * h.width; }

std::string bins_of(const Histogram& h) {
  show::JsonList all;
  for (std::size_t i = 0; i < h.counts.size(); ++i) {
    const double from = end_of(h, i);
    all.add(fmt::format(R"({{"from":{},"to":{},"count":{}}})", from, from + h.width, h.counts[i]));
  }
  return all.json();
}

// A step line ends where its last bin does.
std::string steps_of(const Histogram& h) {
  show::JsonList all;
  for (std::size_t i = 0; i <= h.counts.size() && !h.counts.empty(); ++i) {
    all.add(fmt::format(R"({{"from":{},"count":{}}})", end_of(h, i), h.counts[std::min(i, h.counts.size() - 1)]));
  }
  return all.json();
}

std::string histogram(const Histogram& bars, const char* colour, const char* title) {
  return show::filled_in(kHistogram, {{"$bars", bins_of(bars)},
                                      {"$first", fmt::format("{}", bars.first)},
                                      {"$last", fmt::format("{}", end_of(bars, bars.counts.size()))},
                                      {"$colour", colour},
                                      {"$title", title}});
}

std::string differences(const Histogram& bars) {
  return show::filled_in(histogram(bars, "var(--third)", "|Δ|"), {{"$more_data", ""},
                                                                  {"$counts", kCountsOfBars},
                                                                  {"$more_scales", ""},
                                                                  {"$opacity", "1"},
                                                                  {"$more_marks", ""},
                                                                  {"$legends", ""}});
}

std::string logits(const Report& r) {
  const std::string steps = fmt::format(R"(, {{"name": "steps", "values": {}}})", steps_of(r.with_past));
  return show::filled_in(histogram(r.without_past, "var(--first)", "logit"), {{"$more_data", steps},
                                                                              {"$counts", kCountsOfBoth},
                                                                              {"$more_scales", kRuns},
                                                                              {"$opacity", "0.45"},
                                                                              {"$more_marks", kStepLine},
                                                                              {"$legends", kLegend}});
}

}  // namespace

Picture logits_chart(const Report& r) {
  if (r.without_past.counts.empty() || r.without_past.width <= 0) return {};
  return drawn("The last position's logits",
               fmt::format("How many of the {} of the vocabulary get which logit, on a square-root scale. Where the "
                           "line follows the area, the two runs agree.",
                           show::counted(r.vocab, "token")),
               logits(r));
}

Picture differences_chart(const Report& r) {
  if (r.distances.counts.empty()) return {};
  if (r.table.absolute.max == 0 || r.distances.width <= 0) return told("Their differences are all exactly 0.");
  return drawn("Their differences",
               "How many tokens' logits are how far from those without past, on a square-root scale.",
               differences(r.distances));
}

}  // namespace pkv::check
