#include "checker/measure/charts.h"

#include <fmt/format.h>

#include <algorithm>

#include "checker/measure/numbers.h"
#include "show/columns.h"
#include "show/vega.h"

namespace pkv::measure {
namespace {

constexpr const char* kWith = "with past";
constexpr const char* kWithout = "without past";

// Lines of both variants over x, seconds on a logarithmic scale; symbols where dots are.
constexpr const char* kLines = R"json({
"height": 260,
"data": [{"name": "points", "values": $points}, {"name": "dots", "values": $dots}],
"scales": [
  {"name": "x", "type": "linear", "zero": false, "range": "width", "domain": {"data": "points", "field": "x"}},
  {"name": "y", "type": "log", "nice": true, "range": "height", "domain": {"data": "points", "field": "seconds"}},
  {"name": "colour", "type": "ordinal", "domain": ["without past", "with past"],
    "range": ["var(--second)", "var(--first)"]}],
"axes": [
  {"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5, $times},
  {"orient": "bottom", "scale": "x", "title": "$x_title", "tickCount": 8}],
"legends": [{"fill": "colour", "orient": "top", "symbolType": "square"}],
"marks": [
  {"type": "group", "from": {"facet": {"name": "variant", "data": "points", "groupby": "variant"}}, "marks": [
    {"type": "line", "from": {"data": "variant"}, "interactive": false, "encode": {
      "enter": {"stroke": {"scale": "colour", "field": "variant"}, "strokeWidth": {"value": 2}},
      "update": {"x": {"scale": "x", "field": "x"}, "y": {"scale": "y", "field": "seconds"}}}}]},
  {"type": "symbol", "from": {"data": "dots"}, "encode": {
    "enter": {"fill": {"scale": "colour", "field": "variant"}, "size": {"value": 36}, "tooltip": {"field": "told"}},
    "update": {"x": {"scale": "x", "field": "x"}, "y": {"scale": "y", "field": "seconds"}}}}]})json";

// A group of bars for each prefix, one for each way.
constexpr const char* kBars = R"json({
"height": 260,
"data": [{"name": "bars", "values": $bars}],
"scales": [
  {"name": "x", "type": "band", "range": "width", "padding": 0.15, "domain": {"data": "bars", "field": "prefix"}},
  {"name": "y", "type": "log", "nice": true, "range": "height", "domainMin": $least,
    "domain": {"data": "bars", "field": "seconds"}},
  {"name": "colour", "type": "ordinal", "domain": $ways,
    "range": ["var(--second)", "var(--first)", "var(--third)", "var(--muted)"]}],
"axes": [
  {"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5, $times},
  {"orient": "bottom", "scale": "x", "title": "tokens of the prefix"}],
"legends": [{"fill": "colour", "orient": "top", "symbolType": "square"}],
"marks": [{"type": "group", "from": {"facet": {"name": "group", "data": "bars", "groupby": "prefix"}},
  "encode": {"update": {"x": {"scale": "x", "field": "prefix"}, "height": {"signal": "height"}}},
  "signals": [{"name": "width", "update": "bandwidth('x')"}],
  "scales": [{"name": "place", "type": "band", "domain": $ways, "range": "width", "padding": 0.1}],
  "marks": [{"type": "rect", "from": {"data": "group"}, "encode": {
    "enter": {"fill": {"scale": "colour", "field": "way"}, "tooltip": {"field": "told"}},
    "update": {"x": {"scale": "place", "field": "way"}, "width": {"scale": "place", "band": 1},
      "y": {"scale": "y", "field": "seconds"}, "y2": {"signal": "height"}}}}]}]})json";

std::string point(std::int64_t x, double seconds, const char* variant, std::int64_t token) {
  const std::string told = fmt::format("token {}, {}: {}", show::grouped(token), variant, time_text(seconds));
  return fmt::format(R"({{"x":{},"seconds":{},"variant":"{}","told":"{}"}})", x, seconds, variant, told);
}

void add_curve(show::JsonList& points, show::JsonList& dots, const Generation& g, const Curve& curve,
               const char* variant) {
  const auto medians = curve.medians();
  // Many dots on one line would hide it.
  const bool few = medians.size() <= 64;
  for (std::size_t i = 0; i < medians.size(); ++i) {
    const std::int64_t token = curve.positions[i];
    const std::string p = point(g.depth + g.prompt + token, medians[i], variant, token + 1);
    points.add(p);
    if (few) dots.add(p);
  }
}

void add_total(show::JsonList& points, const Generation& g, const Curve& curve, const char* variant) {
  double sum = 0;
  std::int64_t token = 0;
  for (const double seconds : filled(curve.positions, curve.medians(), g.new_tokens)) {
    sum += seconds, ++token;
    points.add(point(token, sum, variant, token));
  }
}

std::string where(const Generation& g) { return fmt::format("after {}", show::counted(g.depth + g.prompt, "token")); }

std::string bar(const Reuse& r, Reuse::Way way) {
  const double seconds = median_of(r.seconds[way]);
  const std::string prefix = show::grouped(r.prefix);
  const std::string told = fmt::format("{} tokens, {}: {}", prefix, name_of(way), time_text(seconds));
  return fmt::format(R"({{"prefix":"{}","way":"{}","seconds":{},"told":"{}"}})", prefix, name_of(way), seconds, told);
}

show::Chart lines(std::string title, std::string words, const show::JsonList& points, const show::JsonList& dots,
                  const char* x_title) {
  return {std::move(title), std::move(words),
          show::filled_in(kLines, {{"$points", points.json()},
                                   {"$dots", dots.json()},
                                   {"$x_title", x_title},
                                   {"$times", show::time_labels()}})};
}

}  // namespace

show::Chart token_chart(const Generation& g) {
  show::JsonList points, dots;
  add_curve(points, dots, g, g.without_past, kWithout);
  add_curve(points, dots, g, g.with_past, kWith);
  std::string words =
      "Medians. With the past a token costs one pass over the weights and what it reads of the past; "
      "without it, the whole text again.";
  if (g.sampled()) words += " Without past only the tokens marked by dots were timed.";
  return lines("Time of one token, " + where(g), words, points, dots, "tokens before it");
}

show::Chart total_chart(const Generation& g) {
  show::JsonList points;
  add_total(points, g, g.without_past, kWithout);
  add_total(points, g, g.with_past, kWith);
  std::string words = "Sums of the medians: " + passes_text(g) + ".";
  if (g.sampled()) words += " Without past it is interpolated between the tokens that were timed.";
  return lines("Time of all tokens so far, " + where(g), words, points, {}, "new tokens");
}

show::Chart reuse_chart(const std::vector<Reuse>& reuse) {
  show::JsonList bars, ways;
  double least = 1e99;
  for (int way = 0; way < Reuse::ways; ++way) ways.add(fmt::format("\"{}\"", name_of(static_cast<Reuse::Way>(way))));
  for (const Reuse& r : reuse) {
    for (int way = 0; way < Reuse::ways; ++way) {
      if (r.seconds[way].empty()) continue;
      bars.add(bar(r, static_cast<Reuse::Way>(way)));
      least = std::min(least, median_of(r.seconds[way]));
    }
  }
  return {"The first token after a prefix",
          "Medians: the prefix computed anew, its past forked in memory, or restored from a file that the system still "
          "has in memory or has to read from the disk.",
          show::filled_in(kBars, {{"$bars", bars.json()},
                                  {"$ways", ways.json()},
                                  {"$least", fmt::format("{}", least / 2)},
                                  {"$times", show::time_labels()}})};
}

}  // namespace pkv::measure
