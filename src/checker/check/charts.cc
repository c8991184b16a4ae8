#include "checker/check/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Json = nlohmann::ordered_json;
using show::html::Html;

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
Json cells_of(const Report& r, const Extent& extent, bool labelled) {
  Json all = Json::array();
  for (const Cell& c : r.cells) {
    const double shade = c.max_abs == 0 ? 0.55 : std::round(100 * (0.2 + 0.8 * extent.share(c.max_abs))) / 100;
    all.push_back({{"past", c.place.past},
                   {"position", c.place.position},
                   {"fill", colour_of(c, r)},
                   {"shade", shade},
                   {"apart", show::short_number(c.max_abs)},
                   {"ulps", show::short_count(c.ulps)}});
    if (const auto group = r.positions_of_cell; group > 1) {
      const std::int64_t from = c.place.position / group * group;
      all.back()["from"] = std::max(from, c.place.past);
      all.back()["to"] = std::min(from + group, std::ssize(r.ids));
    }
    if (labelled) all.back()["ink"] = c.max_abs != 0 && shade > 0.6 ? "var(--paper)" : "var(--ink)";
  }
  return all;
}

Json sorted(const std::set<std::int64_t>& values) {
  Json all = Json::array();
  for (const auto v : values) all.push_back(v);
  return all;
}

// Groups of positions, each of which stands for its worst, on an axis of positions.
void lay_side_by_side(Json& spec, std::int64_t end) {
  spec["scales"][0]["type"] = "linear";
  spec["scales"][0]["zero"] = false;
  spec["scales"][0]["domain"] = {1, end};
  Json& place = spec["marks"][0]["encode"]["update"];
  place.erase("width");
  place["x"] = {{"scale", "x"}, {"field", "from"}};
  place["x2"] = {{"scale", "x"}, {"field", "to"}};
}

Json heat_map_specification(const Report& r, const Extent& extent) {
  std::set<std::int64_t> pasts, positions;
  for (const Cell& c : r.cells) pasts.insert(c.place.past), positions.insert(c.place.position);
  const auto columns = std::ssize(positions), rows = std::ssize(pasts);
  Json spec = Json::parse(R"json({
    "data": [{"name": "cells"}],
    "scales": [{"name": "x", "type": "band", "range": "width"}, {"name": "y", "type": "band", "range": "height"}],
    "axes": [{"orient": "top", "scale": "x", "title": "position of the token", "domain": false, "ticks": false},
             {"orient": "left", "scale": "y", "title": "tokens in the past", "domain": false, "ticks": false}],
    "marks": [
      {"type": "rect", "from": {"data": "cells"}, "encode": {"enter": {
        "fill": {"field": "fill"}, "fillOpacity": {"field": "shade"}, "tooltip": {"signal":
        "'position ' + datum.position + ', past ' + datum.past + ': max |Δ| ' + datum.apart + ', ' + datum.ulps + ' ULP'"}},
        "update": {
        "x": {"scale": "x", "field": "position"}, "width": {"scale": "x", "band": 1},
        "y": {"scale": "y", "field": "past"}, "height": {"scale": "y", "band": 1}}}},
      {"type": "text", "from": {"data": "cells"}, "interactive": false, "encode": {"enter": {
        "text": {"field": "apart"}, "align": {"value": "center"}, "baseline": {"value": "middle"},
        "fontSize": {"value": 11}, "fill": {"field": "ink"}}, "update": {
        "x": {"scale": "x", "field": "position", "band": 0.5}, "y": {"scale": "y", "field": "past", "band": 0.5}}}}]})json");
  const bool labelled = columns <= kMostLabelled;
  spec["data"][0]["values"] = cells_of(r, extent, labelled);
  spec["scales"][0]["domain"] = sorted(positions);
  if (r.positions_of_cell > 1) lay_side_by_side(spec, std::ssize(r.ids));
  spec["scales"][1]["domain"] = sorted(pasts);
  const double padding = columns > 64 ? 0 : 0.04;
  if (r.positions_of_cell == 1) spec["scales"][0]["padding"] = padding;
  spec["scales"][1]["padding"] = padding;
  if (!labelled) spec["marks"].erase(1);
  spec["usermeta"] = {{"widest", 60 + columns * kCell}};
  spec["height"] = std::clamp<std::int64_t>(rows * (labelled ? 36 : 22), 36, kMostHeight);
  return spec;
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
Json ticks_between(double least, double most) {
  Json all = Json::array();
  for (double decade = std::pow(10, std::floor(std::log10(least))); decade <= most; decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double tick = step * decade;
      if ((step == 1 || few_decades(least, most)) && tick >= least && tick <= most) all.push_back(tick);
    }
  }
  return all;
}

double share_of(const LayerDistance& l) { return l.largest > 0 ? l.max_abs / l.largest : l.max_abs; }

// Not finite: as far as the furthest.
Json layers_of(const Report& r, const Extent& extent) {
  Json all = Json::array();
  for (std::size_t i = 0; i < r.layers.size(); ++i) {
    const LayerDistance& l = r.layers[i];
    const double share = share_of(l);
    const bool same = share == 0;
    all.push_back({{"layer", i == 0 ? "embedded" : fmt::format("{}", i - 1)},
                   {"share", same                   ? extent.least / 3
                             : std::isfinite(share) ? share
                                                    : extent.most},
                   {"fill", same ? "var(--paper)" : "var(--bad)"},
                   {"stroke", same ? "var(--muted)" : "var(--bad)"},
                   {"told", fmt::format("{}: max |Δ| {}, largest |state| {}",
                                        i == 0 ? "as embedded" : fmt::format("after layer {}", i - 1),
                                        show::short_number(l.max_abs), show::short_number(l.largest))}});
  }
  return all;
}

Json layers_specification(const Report& r, const Extent& extent) {
  Json spec = Json::parse(R"json({
    "height": 220,
    "data": [{"name": "layers"}],
    "scales": [{"name": "x", "type": "point", "range": "width", "padding": 0.4,
                "domain": {"data": "layers", "field": "layer"}},
               {"name": "y", "type": "log", "range": "height"}],
    "axes": [{"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false,
              "title": "largest |Δ| / largest |state|"},
             {"orient": "bottom", "scale": "x", "title": "states after layer"}],
    "marks": [
      {"type": "line", "from": {"data": "layers"}, "interactive": false, "encode": {
        "enter": {"stroke": {"value": "var(--bad)"}, "strokeWidth": {"value": 1.5}, "strokeOpacity": {
  "value" : 0.5
}
}
, "update" : {
  "x" : {"scale" : "x", "field" : "layer"}, "y" : { "scale" : "y", "field" : "share" }
}
}
},
      {"type": "symbol", "from": {"data": "layers"}, "encode": {
        "enter": {"size": {"value": 70}, "fill": {"field": "fill"}, "stroke": {"field": "stroke"},
                  "strokeWidth": {"value": 1.5}, "tooltip": {"field": "told"}},
        "update": {"x": {"scale": "x", "field": "layer"}, "y": {"scale": "y", "field": "share"}}}}]
})json");
  spec["data"][0]["values"] = layers_of(r, extent);
  const double least = extent.least / 3, most = extent.most * 1.5;
  spec["scales"][1]["domain"] = {least, most};
  spec["axes"][0]["values"] = ticks_between(least, most);
  spec["axes"][0]["format"] = few_decades(least, most) ? "~g" : ".0e";
  return spec;
}

Html drawn(const char* title, const std::string& words, const Json& spec) {
  return show::html::chart({.title = title, .caption = show::html::text(words), .specification = spec.dump()});
}

}  // namespace

Html heat_map(const Report& r) {
  if (r.cells.size() < 2) return {};  // the table of experiments says as much
  Extent extent;
  for (const Cell& c : r.cells) extent.add(c.max_abs);
  const bool finite = std::all_of(r.cells.begin(), r.cells.end(), [](auto& c) { return std::isfinite(c.max_abs); });
  if (extent.empty() && finite) {
    return show::html::paragraph(show::html::text(fmt::format(
        "Split by split and token by token there is nothing to draw: at all {} of the experiment that splits "
        "the text everywhere, the largest difference is exactly 0.",
        show::counted(std::ssize(r.cells), "position"))));
  }
  return drawn("How far apart, at each split and position", heat_map_words(r, extent),
               heat_map_specification(r, extent));
}

Html layers_chart(const Report& r) {
  if (r.layers.empty()) return {};
  Extent extent;
  for (const LayerDistance& l : r.layers) extent.add(share_of(l));
  const bool same = std::all_of(r.layers.begin(), r.layers.end(), [](auto& l) { return l.max_abs == 0; });
  if (same) return show::html::paragraph(show::html::text("No layer's states differ by a bit."));
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
