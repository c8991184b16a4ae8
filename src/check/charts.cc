#include "check/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "check/columns.h"

namespace pkv::check {
namespace {

using Json = nlohmann::ordered_json;
using page::Html;

constexpr std::int64_t kMostLabelled = 10;  // columns of a heat map whose cells have room for a number
constexpr int kCell = 52, kMostHeight = 460;

// Infinite ends, where nothing is apart.
struct Extent {
  double least = std::numeric_limits<double>::infinity(), most = 0;

  void add(double value) {
    if (!(value > 0) || !std::isfinite(value)) return;
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

Json cells_of(const Report& r, const Extent& extent) {
  Json all = Json::array();
  for (const Cell& c : r.cells) {
    const double shade = c.max_abs == 0 ? 0.55 : 0.2 + 0.8 * extent.share(c.max_abs);
    all.push_back({{"past", c.place.past},
                   {"position", c.place.position},
                   {"colour", colour_of(c, r)},
                   {"shade", shade},
                   {"number", short_number(c.max_abs)},
                   {"ink", c.max_abs != 0 && shade > 0.6 ? "var(--paper)" : "var(--ink)"},
                   {"told", fmt::format("position {}, past {}: max |Δ| {}, {} ULP", c.place.position, c.place.past,
                                        short_number(c.max_abs), short_count(c.ulps))}});
  }
  return all;
}

Json sorted(const std::set<std::int64_t>& values) {
  Json all = Json::array();
  for (const auto v : values) all.push_back(v);
  return all;
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
        "fill": {"field": "colour"}, "fillOpacity": {"field": "shade"}, "tooltip": {"field": "told"}},
        "update": {
        "x": {"scale": "x", "field": "position"}, "width": {"scale": "x", "band": 1},
        "y": {"scale": "y", "field": "past"}, "height": {"scale": "y", "band": 1}}}},
      {"type": "text", "from": {"data": "cells"}, "interactive": false, "encode": {"enter": {
        "text": {"field": "number"}, "align": {"value": "center"}, "baseline": {"value": "middle"},
        "fontSize": {"value": 11}, "fill": {"field": "ink"}}, "update": {
        "x": {"scale": "x", "field": "position", "band": 0.5}, "y": {"scale": "y", "field": "past", "band": 0.5}}}}]})json");
  spec["data"][0]["values"] = cells_of(r, extent);
  spec["scales"][0]["domain"] = sorted(positions);
  spec["scales"][1]["domain"] = sorted(pasts);
  spec["scales"][0]["padding"] = spec["scales"][1]["padding"] = columns > 64 ? 0 : 0.04;
  const bool labelled = columns <= kMostLabelled;
  if (!labelled) spec["marks"].erase(1);
  spec["usermeta"] = {{"widest", 60 + columns * kCell}};
  spec["height"] = std::clamp<std::int64_t>(rows * (labelled ? 34 : 22), 34, kMostHeight);
  return spec;
}

std::string heat_map_words(const Report& r, const Extent& extent) {
  std::string words =
      "Each square is one token, fed in a call that found so many tokens in the past. Its colour is the largest "
      "difference of a logit from those without past: grey is none";
  if (extent.empty()) return words + ".";
  const std::string scale = extent.least == extent.most
                                ? fmt::format("{}", short_number(extent.most))
                                : fmt::format("from pale ({}) to strong ({}), logarithmically",
                                              short_number(extent.least), short_number(extent.most));
  if (r.subject.promises_same_bits) return words + ", red any, " + scale + ".";
  return words + fmt::format(", blue as much as rounding explains (up to {:.2g}), red more; {}.", r.bound.value, scale);
}

Json bins_of(const Histogram& h) {
  Json all = Json::array();
  for (std::size_t i = 0; i < h.counts.size(); ++i) {
    const double from = h.first + static_cast<double>(i) * h.width;
    all.push_back({{"from", from}, {"to", from + h.width}, {"count", h.counts[i]}});
  }
  return all;
}

// A step line ends where its last bin does.
Json steps_of(const Histogram& h) {
  Json all = bins_of(h);
  if (!all.empty()) all.push_back({{"from", all.back()["to"]}, {"count", all.back()["count"]}});
  return all;
}

Json histogram_specification(const Histogram& bars, const char* colour, const char* title) {
  Json spec = Json::parse(R"json({
    "height": 220,
    "data": [{"name": "bars"}],
    "scales": [{"name": "x", "type": "linear", "zero": false, "range": "width"},
               {"name": "y", "type": "sqrt", "zero": true, "nice": true, "range": "height",
                "domain": {"data": "bars", "field": "count"}}],
    "axes": [{"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5,
              "title": "tokens of the vocabulary (square-root scale)"},
             {"orient": "bottom", "scale": "x", "tickCount": 8}],
    "marks": [{"type": "rect", "from": {"data": "bars"}, "encode": {
      "enter": {"tooltip": {"signal": "datum.count + ' tokens from ' + format(datum.from, '.3g') + ' to ' + format(datum.to, '.3g')"}},
      "update": {"x": {"scale": "x", "field": "from"}, "x2": {"scale": "x", "field": "to"},
                 "y": {"scale": "y", "field": "count"}, "y2": {"scale": "y", "value": 0}}}}]
})json");
  spec["data"][0]["values"] = bins_of(bars);
  spec["scales"][0]["domain"] = {bars.first, bars.first + static_cast<double>(bars.counts.size()) * bars.width};
  spec["axes"][1]["title"] = title;
  spec["marks"][0]["encode"]["enter"]["fill"] = {{"value", colour}};
  return spec;
}

Json logits_specification(const Report& r) {
  Json spec = histogram_specification(r.without_past, "var(--first)", "logit");
  spec["data"].push_back({{"name", "steps"}, {"values", steps_of(r.with_past)}});
  spec["scales"][1]["domain"] = Json::parse(R"json({"fields": [{"data": "bars", "field": "count"},
                                                           {"data": "steps", "field": "count"}]})json");
  spec["scales"].push_back(
      Json::parse(R"json({"name": "run", "type": "ordinal", "domain": ["without past", "with past"],
                                           "range": ["var(--first)", "var(--second)"]
})json"));
  spec["legends"] = Json::parse(R"json([{"fill": "run", "symbolType": "square", "symbolStrokeWidth": 0}])json");
  spec["marks"][0]["encode"]["enter"]["fillOpacity"] = {{"value", 0.45}};
  spec["marks"].push_back(
      Json::parse(R"json({"type": "line", "from": {"data": "steps"}, "interactive": false, "encode": {
    "enter": {"stroke": {"value": "var(--second)"
  }
  , "strokeWidth" : {"value" : 1.75}, "interpolate" : { "value" : "step-after" }
  }
  , "update" : {
    "x" : {"scale" : "x", "field" : "from"}, "y" : { "scale" : "y", "field" : "count" }
  }
  }
  })json"));
  return spec;
}

Json layers_of(const Report& r, const Extent& extent) {
  Json all = Json::array();
  for (std::size_t i = 0; i < r.layers.size(); ++i) {
    const LayerDistance& l = r.layers[i];
    const double share = l.largest > 0 ? l.max_abs / l.largest : l.max_abs;
    const bool same = !(share > 0);
    all.push_back({{"layer", i == 0 ? "embedded" : fmt::format("{}", i - 1)},
                   {"share", same ? extent.least / 3 : share},
                   {"fill", same ? "var(--paper)" : "var(--bad)"},
                   {"stroke", same ? "var(--muted)" : "var(--bad)"},
                   {"told", fmt::format("{}: max |Δ| {}, largest |state| {}",
                                        i == 0 ? "as embedded" : fmt::format("after layer {}", i - 1),
                                        short_number(l.max_abs), short_number(l.largest))}});
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
    "axes": [{"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5,
              "format": ".0e", "title": "largest |Δ| / largest |state|"},
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
  spec["scales"][1]["domain"] = {extent.least / 3, extent.most * 1.5};
  return spec;
}

Html drawn(const char* title, const std::string& words, const Json& spec) {
  return page::chart({.title = title, .caption = page::text(words), .specification = spec.dump()});
}

}  // namespace

Html heat_map(const Report& r) {
  if (r.cells.empty()) return {};
  Extent extent;
  for (const Cell& c : r.cells) extent.add(c.max_abs);
  const bool finite = std::all_of(r.cells.begin(), r.cells.end(), [](auto& c) { return std::isfinite(c.max_abs); });
  if (extent.empty() && finite) {
    return page::paragraph(page::text(fmt::format(
        "Split by split and token by token there is nothing to draw: at all {} of the experiment that splits "
        "the text everywhere, the largest difference is exactly 0.",
        counted(std::ssize(r.cells), "position"))));
  }
  return drawn("How far apart, at each split and position", heat_map_words(r, extent),
               heat_map_specification(r, extent));
}

Html layers_chart(const Report& r) {
  if (r.layers.empty()) return {};
  Extent extent;
  for (const LayerDistance& l : r.layers) extent.add(l.largest > 0 ? l.max_abs / l.largest : l.max_abs);
  if (extent.empty()) return page::paragraph(page::text("No layer's states differ by a bit."));
  const std::string where = r.parting ? fmt::format(" at the split after {}", counted(r.parting->past, "token")) : "";
  return drawn("How far apart, from layer to layer",
               fmt::format("The states of the new tokens after each layer{}, against those without past, as a share of "
                           "the largest state. Hollow: equal bit for bit.",
                           where),
               layers_specification(r, extent));
}

Html logits_chart(const Report& r) {
  if (r.without_past.counts.empty() || r.without_past.width <= 0) return {};
  return drawn("The last position's logits",
               fmt::format("How many of the {} of the vocabulary get which logit. Where the line follows the area, the "
                           "two runs agree.",
                           counted(r.vocab, "token")),
               logits_specification(r));
}

Html differences_chart(const Report& r) {
  const auto& counts = r.distances.counts;
  if (counts.empty()) return {};
  if (r.table.absolute.max == 0 || r.distances.width <= 0) {
    return page::paragraph(page::text("Their differences are all exactly 0."));
  }
  return drawn("Their differences", "How many tokens' logits are how far from those without past.",
               histogram_specification(r.distances, "var(--third)", "|Δ|"));
}

}  // namespace pkv::check
