#include "checker/check/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "show/columns.h"
#include "show/vega.h"

namespace pkv::check {
namespace {

constexpr std::int64_t kMostLabelled = 10;  // columns of a heat map whose cells have room for a number
constexpr int kCell = 72, kMostHeight = 460;

// Infinite ends, where nothing is apart.
struct Extent {
  double least = std::numeric_limits<double>::infinity(), most = 0;

  void add(double value) {
    if (!(value > 1e-300) || !std::isfinite(value)) return;  // what is less has no logarithm to speak of
    least = std::min(least, value);
    most = std::max(most, value);
  }
  bool empty() const { return most == 0; }
  // 0 to 1 on a logarithmic scale.
  double share(double value) const {
    if (!std::isfinite(value)) return 1;
    return least == most ? 1 : std::log(value / least) / std::log(most / least);
  }
};

const char* colour_of(const Cell& cell, const Report& r) {
  if (cell.max_abs == 0) return "var(--rule)";
  const bool explained = !r.subject.promises_same_bits && cell.max_abs <= r.bound.value;
  return explained ? "var(--first)" : "var(--bad)";
}

// Thousands of them: short.
std::string cells_of(const Report& r, const Extent& extent, bool labelled) {
  show::JsonList all;
  for (const Cell& c : r.cells) {
    const double shade = c.max_abs == 0 ? 0.55 : std::round(100 * (0.2 + 0.8 * extent.share(c.max_abs))) / 100;
    std::string cell =
        fmt::format(R"("past":{},"position":{},"fill":"{}","shade":{},"apart":"{}","ulps":"{}")", c.place.past,
                    c.place.position, colour_of(c, r), shade, show::short_number(c.max_abs), show::short_count(c.ulps));
    if (const auto group = r.positions_of_cell; group > 1) {
      const std::int64_t from = c.place.position / group * group;
      cell +=
          fmt::format(R"(,"from":{},"to":{})", std::max(from, c.place.past), std::min(from + group, std::ssize(r.ids)));
    }
    if (labelled) {
      cell += fmt::format(R"(,"ink":"{}")", c.max_abs != 0 && shade > 0.6 ? "var(--paper)" : "var(--ink)");
    }
    all.add("{" + cell + "}");
  }
  return all.json();
}

std::string list_of(const auto& values) {
  show::JsonList all;
  for (const auto v : values) all.add(fmt::format("{}", v));
  return all.json();
}

constexpr const char* kHeatMap = R"json({
"usermeta": {"widest": $widest}, "height": $height,
"data": [{"name": "cells", "values": $cells}],
"scales": [{"name": "x", "range": "width", $x_scale},
  {"name": "y", "type": "band", "range": "height", "domain": $pasts, "padding": $padding}],
"axes": [{"orient": "top", "scale": "x", "title": "position of the token", "domain": false, "ticks": false},
  {"orient": "left", "scale": "y", "title": "tokens in the past", "domain": false, "ticks": false}],
"marks": [{"type": "rect", "from": {"data": "cells"}, "encode": {
  "enter": {"fill": {"field": "fill"}, "fillOpacity": {"field": "shade"}, "tooltip": {"signal":
    "'position ' + datum.position + ', past ' + datum.past + ': max |Δ| ' + datum.apart + ', ' + datum.ulps + ' ULP'"}},
  "update": {$across, "y": {"scale": "y", "field": "past"}, "height": {"scale": "y", "band": 1}}}}$labels]})json";

constexpr const char* kLabels = R"json(,
  {"type": "text", "from": {"data": "cells"}, "interactive": false, "encode": {
    "enter": {"text": {"field": "apart"}, "align": {"value": "center"}, "baseline": {"value": "middle"},
      "fontSize": {"value": 11}, "fill": {"field": "ink"}},
    "update": {"x": {"scale": "x", "field": "position", "band": 0.5},
      "y": {"scale": "y", "field": "past", "band": 0.5}}}})json";

constexpr const char* kSquares =
    R"json("x": {"scale": "x", "field": "position"}, "width": {"scale": "x", "band": 1})json";
// Groups of positions, each of which stands for its worst, side by side on an axis of positions.
constexpr const char* kGroups = R"json("x": {"scale": "x", "field": "from"}, "x2": {"scale": "x", "field": "to"})json";

std::string heat_map_specification(const Report& r, const Extent& extent) {
  std::set<std::int64_t> pasts, positions;
  for (const Cell& c : r.cells) pasts.insert(c.place.past), positions.insert(c.place.position);
  const auto columns = std::ssize(positions), rows = std::ssize(pasts);
  const bool labelled = columns <= kMostLabelled, grouped = r.positions_of_cell > 1;
  const double padding = columns > 64 ? 0 : 0.04;
  const std::string x_scale =
      grouped ? fmt::format(R"("type": "linear", "zero": false, "domain": [1, {}])", r.ids.size())
              : fmt::format(R"("type": "band", "domain": {}, "padding": {})", list_of(positions), padding);
  const auto height = std::clamp<std::int64_t>(rows * (labelled ? 36 : 22), 36, kMostHeight);
  return show::filled_in(kHeatMap, {{"$widest", fmt::format("{}", 60 + columns * kCell)},
                                    {"$height", fmt::format("{}", height)},
                                    {"$x_scale", x_scale},
                                    {"$pasts", list_of(pasts)},
                                    {"$padding", fmt::format("{}", padding)},
                                    {"$across", grouped ? kGroups : kSquares},
                                    {"$labels", labelled ? kLabels : ""},
                                    {"$cells", cells_of(r, extent, labelled)}});
}

std::string heat_map_words(const Report& r, const Extent& extent) {
  std::string words = r.positions_of_cell > 1
                          ? fmt::format("Each square is the worst of {} tokens next to each other", r.positions_of_cell)
                          : std::string("Each square is one token");
  words +=
      ", fed in a call that found so many tokens in the past. Its colour is the largest difference of a logit from "
      "those "
      "without past: grey is none";
  if (extent.empty()) return words + ", red not finite.";
  const std::string scale = extent.least == extent.most
                                ? fmt::format("{}", show::short_number(extent.most))
                                : fmt::format("from pale ({}) to strong ({}), logarithmically",
                                              show::short_number(extent.least), show::short_number(extent.most));
  if (r.subject.promises_same_bits) return words + ", red any, " + scale + ".";
  return words + fmt::format(", blue as much as rounding explains (up to {:.2g}), red more; {}.", r.bound.value, scale);
}

bool few_decades(double least, double most) { return most < 300 * least; }

// Of a logarithmic axis: decades, and within few of them also 2 and 5.
std::string ticks_between(double least, double most) {
  std::vector<double> all;
  for (double decade = std::pow(10, std::floor(std::log10(least))); decade <= most; decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double tick = step * decade;
      if ((step == 1 || few_decades(least, most)) && tick >= least && tick <= most) all.push_back(tick);
    }
  }
  return list_of(all);
}

double share_of(const LayerDistance& l) { return l.largest > 0 ? l.max_abs / l.largest : l.max_abs; }

// Not finite: as far as the furthest.
std::string layers_of(const Report& r, const Extent& extent) {
  show::JsonList all;
  for (std::size_t i = 0; i < r.layers.size(); ++i) {
    const LayerDistance& l = r.layers[i];
    const double share = share_of(l);
    const bool same = share == 0;
    const std::string told =
        fmt::format("{}: max |Δ| {}, largest |state| {}", i == 0 ? "as embedded" : fmt::format("after layer {}", i - 1),
                    show::short_number(l.max_abs), show::short_number(l.largest));
    all.add(fmt::format(R"({{"layer":"{}","share":{},"fill":"{}","stroke":"{}","told":"{}"}})",
                        i == 0 ? "embedded" : fmt::format("{}", i - 1),
                        same                   ? extent.least / 3
                        : std::isfinite(share) ? share
                                               : extent.most,
                        same ? "var(--paper)" : "var(--bad)", same ? "var(--muted)" : "var(--bad)", told));
  }
  return all.json();
}

constexpr const char* kLayers = R"json({
"height": 220,
"data": [{"name": "layers", "values": $layers}],
"scales": [{"name": "x", "type": "point", "range": "width", "padding": 0.4,
    "domain": {"data": "layers", "field": "layer"}},
  {"name": "y", "type": "log", "range": "height", "domain": [$least, $most]}],
"axes": [{"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false,
    "title": "largest |Δ| / largest |state|", "values": $ticks, "format": "$format"},
  {"orient": "bottom", "scale": "x", "title": "states after layer"}],
"marks": [{"type": "line", "from": {"data": "layers"}, "interactive": false, "encode": {
  "enter": {"stroke": {"value": "var(--bad)"}, "strokeWidth": {"value": 1.5}, "strokeOpacity": {"value": 0.5}},
  "update": {"x": {"scale": "x", "field": "layer"}, "y": {"scale": "y", "field": "share"}}}},
  {"type": "symbol", "from": {"data": "layers"}, "encode": {
    "enter": {"size": {"value": 70}, "fill": {"field": "fill"}, "stroke": {"field": "stroke"},
      "strokeWidth": {"value": 1.5}, "tooltip": {"field": "told"}},
    "update": {"x": {"scale": "x", "field": "layer"}, "y": {"scale": "y", "field": "share"}}}}]})json";

std::string layers_specification(const Report& r, const Extent& extent) {
  const double least = extent.least / 3, most = extent.most * 1.5;
  return show::filled_in(kLayers, {{"$layers", layers_of(r, extent)},
                                   {"$least", fmt::format("{}", least)},
                                   {"$most", fmt::format("{}", most)},
                                   {"$ticks", ticks_between(least, most)},
                                   {"$format", few_decades(least, most) ? "~g" : ".0e"}});
}

}  // namespace

Picture heat_map(const Report& r) {
  if (r.cells.size() < 2) return {};  // the table of experiments says as much
  Extent extent;
  for (const Cell& c : r.cells) extent.add(c.max_abs);
  const bool finite = std::all_of(r.cells.begin(), r.cells.end(), [](auto& c) { return std::isfinite(c.max_abs); });
  if (extent.empty() && finite) {
    return told(fmt::format(
        "Split by split and token by token there is nothing to draw: at all {} of the experiment that splits "
        "the text everywhere, the largest difference is exactly 0.",
        show::counted(std::ssize(r.cells), "position")));
  }
  return drawn("How far apart, at each split and position", heat_map_words(r, extent),
               heat_map_specification(r, extent));
}

Picture layers_chart(const Report& r) {
  if (r.layers.empty()) return {};
  Extent extent;
  for (const LayerDistance& l : r.layers) extent.add(share_of(l));
  const bool same = std::all_of(r.layers.begin(), r.layers.end(), [](auto& l) { return l.max_abs == 0; });
  if (same) return told("No layer's states differ by a bit.");
  if (extent.empty()) extent.add(1);
  const std::string where =
      r.parting ? fmt::format(" at the split after {}", show::counted(r.parting->past, "token")) : "";
  return drawn("How far apart, from layer to layer",
               fmt::format("The states of the new tokens after each layer{}, against those without past, as a share of "
                           "the largest state. Hollow: equal bit for bit.",
                           where),
               layers_specification(r, extent));
}

}  // namespace pkv::check
