#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "checker/check/charts.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Json = nlohmann::ordered_json;
using show::html::Html;

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
              "title": "tokens"},
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

Html drawn(const char* title, const std::string& words, const Json& spec) {
  return show::html::chart({.title = title, .caption = show::html::text(words), .specification = spec.dump()});
}

}  // namespace

Html logits_chart(const Report& r) {
  if (r.without_past.counts.empty() || r.without_past.width <= 0) return {};
  return drawn(
      "The last position's logits",
      fmt::format("How many of the {} of the vocabulary get which logit, on a square-root scale. Where the line "
                  "follows the area, the two runs agree.",
                  show::counted(r.vocab, "token")),
      logits_specification(r));
}

Html differences_chart(const Report& r) {
  const auto& counts = r.distances.counts;
  if (counts.empty()) return {};
  if (r.table.absolute.max == 0 || r.distances.width <= 0) {
    return show::html::paragraph(show::html::text("Their differences are all exactly 0."));
  }
  return drawn("Their differences",
               "How many tokens' logits are how far from those without past, on a square-root scale.",
               histogram_specification(r.distances, "var(--third)", "|Δ|"));
}

}  // namespace pkv::check
