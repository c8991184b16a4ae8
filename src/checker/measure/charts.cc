#include "checker/measure/charts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "checker/measure/numbers.h"
#include "show/columns.h"

namespace pkv::measure {
namespace {

using Json = nlohmann::ordered_json;
using show::html::Html;

constexpr const char* kWith = "with past";
constexpr const char* kWithout = "without past";

Json field(const char* scale, const char* name) { return {{"scale", scale}, {"field", name}}; }

Json value(const Json& of) { return {{"value", of}}; }

Json point(double x, double seconds, const char* variant, const std::string& told) {
  return {{"x", x}, {"seconds", seconds}, {"variant", variant}, {"told", told}};
}

Json scale_of_variants() {
  return {{"name", "colour"},
          {"type", "ordinal"},
          {"domain", {kWithout, kWith}},
          {"range", {"var(--second)", "var(--first)"}}};
}

Json axis_of_seconds(const char* title) {
  return {{"orient", "left"}, {"scale", "y"},   {"grid", true},   {"domain", false},
          {"ticks", false},   {"tickCount", 5}, {"title", title}, {"format", "~s"}};
}

// Lines of both variants over x, seconds on a logarithmic scale; symbols where `dots`.
Json lines(const Json& points, const Json& dots, const char* x_title, const char* y_title) {
  const Json at{{"x", field("x", "x")}, {"y", field("y", "seconds")}};
  const Json line{
      {"type", "line"},
      {"from", {{"data", "variant"}}},
      {"interactive", false},
      {"encode", {{"enter", {{"stroke", field("colour", "variant")}, {"strokeWidth", value(2)}}}, {"update", at}}}};
  const Json symbol{
      {"type", "symbol"},
      {"from", {{"data", "dots"}}},
      {"encode",
       {{"enter", {{"fill", field("colour", "variant")}, {"size", value(36)}, {"tooltip", {{"field", "told"}}}}},
        {"update", at}}}};
  const Json groups{{"type", "group"},
                    {"from", {{"facet", {{"name", "variant"}, {"data", "points"}, {"groupby", "variant"}}}}},
                    {"marks", Json::array({line})}};
  return {
      {"height", 260},
      {"data", Json::array({Json{{"name", "points"}, {"values", points}}, Json{{"name", "dots"}, {"values", dots}}})},
      {"scales", Json::array({Json{{"name", "x"},
                                   {"type", "linear"},
                                   {"zero", false},
                                   {"range", "width"},
                                   {"domain", {{"data", "points"}, {"field", "x"}}}},
                              Json{{"name", "y"},
                                   {"type", "log"},
                                   {"nice", true},
                                   {"range", "height"},
                                   {"domain", {{"data", "points"}, {"field", "seconds"}}}},
                              scale_of_variants()})},
      {"axes", Json::array({axis_of_seconds(y_title),
                            Json{{"orient", "bottom"}, {"scale", "x"}, {"title", x_title}, {"tickCount", 8}}})},
      {"legends", Json::array({Json{{"fill", "colour"}, {"orient", "top"}, {"symbolType", "square"}}})},
      {"marks", Json::array({groups, symbol})}};
}

Html drawn(const std::string& title, const std::string& words, const Json& specification) {
  return show::html::chart({.title = title, .caption = show::html::text(words), .specification = specification.dump()});
}

std::string told(const char* variant, std::int64_t token, double seconds) {
  return fmt::format("token {}, {}: {}", show::grouped(token), variant, time_text(seconds));
}

void add_curve(Json& points, Json& dots, const Generation& g, const Curve& curve, const char* variant) {
  const auto medians = curve.medians();
  // Many dots on one line would hide it.
  const bool few = medians.size() <= 64;
  for (std::size_t i = 0; i < medians.size(); ++i) {
    const Json p = point(static_cast<double>(g.depth + g.prompt + curve.positions[i]), medians[i], variant,
                         told(variant, curve.positions[i] + 1, medians[i]));
    points.push_back(p);
    if (few) dots.push_back(p);
  }
}

void add_total(Json& points, const Generation& g, const Curve& curve, const char* variant) {
  double sum = 0;
  std::int64_t token = 0;
  for (const double seconds : filled(curve.positions, curve.medians(), g.new_tokens)) {
    sum += seconds, ++token;
    points.push_back(point(static_cast<double>(token), sum, variant, told(variant, token, sum)));
  }
}

std::string where(const Generation& g) { return fmt::format("after {}", show::counted(g.depth + g.prompt, "token")); }

Json bar(const Reuse& r, Reuse::Way way) {
  const double seconds = median_of(r.seconds[way]);
  const std::string name(name_of(way));
  return {{"prefix", show::grouped(r.prefix)},
          {"way", name},
          {"seconds", seconds},
          {"told", fmt::format("{} tokens, {}: {}", show::grouped(r.prefix), name, time_text(seconds))}};
}

}  // namespace

Html token_chart(const Generation& g) {
  Json points = Json::array(), dots = Json::array();
  add_curve(points, dots, g, g.without_past, kWithout);
  add_curve(points, dots, g, g.with_past, kWith);
  std::string words =
      "Medians. With the past a token costs one pass over the weights and what it reads of the past; "
      "without it, the whole text again.";
  if (g.sampled()) words += " Without past only the tokens marked by dots were timed.";
  return drawn("Time of one token, " + where(g), words, lines(points, dots, "tokens before it", "seconds"));
}

Html total_chart(const Generation& g) {
  Json points = Json::array();
  add_total(points, g, g.without_past, kWithout);
  add_total(points, g, g.with_past, kWith);
  std::string words = "Sums of the medians: " + passes_text(g) + ".";
  if (g.sampled()) words += " Without past it is interpolated between the tokens that were timed.";
  return drawn("Time of all tokens so far, " + where(g), words, lines(points, Json::array(), "new tokens", "seconds"));
}

Html reuse_chart(const std::vector<Reuse>& reuse) {
  Json bars = Json::array(), names = Json::array();
  double least = 1e99;
  for (int way = 0; way < Reuse::ways; ++way) names.push_back(name_of(static_cast<Reuse::Way>(way)));
  for (const Reuse& r : reuse) {
    for (int way = 0; way < Reuse::ways; ++way) {
      if (r.seconds[way].empty()) continue;
      bars.push_back(bar(r, static_cast<Reuse::Way>(way)));
      least = std::min(least, median_of(r.seconds[way]));
    }
  }
  const Json inner{{"name", "place"}, {"type", "band"}, {"domain", names}, {"range", "width"}, {"padding", 0.1}};
  const Json rect{{"type", "rect"},
                  {"from", {{"data", "group"}}},
                  {"encode",
                   {{"enter", {{"fill", field("colour", "way")}, {"tooltip", {{"field", "told"}}}}},
                    {"update",
                     {{"x", field("place", "way")},
                      {"width", {{"scale", "place"}, {"band", 1}}},
                      {"y", field("y", "seconds")},
                      {"y2", {{"signal", "height"}}}}}}}};
  const Json group{{"type", "group"},
                   {"from", {{"facet", {{"name", "group"}, {"data", "bars"}, {"groupby", "prefix"}}}}},
                   {"encode", {{"update", {{"x", field("x", "prefix")}, {"height", {{"signal", "height"}}}}}}},
                   {"signals", Json::array({Json{{"name", "width"}, {"update", "bandwidth('x')"}}})},
                   {"scales", Json::array({inner})},
                   {"marks", Json::array({rect})}};
  const Json specification{
      {"height", 260},
      {"data", Json::array({Json{{"name", "bars"}, {"values", bars}}})},
      {"scales", Json::array({Json{{"name", "x"},
                                   {"type", "band"},
                                   {"range", "width"},
                                   {"padding", 0.15},
                                   {"domain", {{"data", "bars"}, {"field", "prefix"}}}},
                              Json{{"name", "y"},
                                   {"type", "log"},
                                   {"nice", true},
                                   {"range", "height"},
                                   {"domainMin", least / 2},
                                   {"domain", {{"data", "bars"}, {"field", "seconds"}}}},
                              Json{{"name", "colour"},
                                   {"type", "ordinal"},
                                   {"domain", names},
                                   {"range", {"var(--second)", "var(--first)", "var(--third)", "var(--muted)"}}}})},
      {"axes", Json::array({axis_of_seconds("seconds"),
                            Json{{"orient", "bottom"}, {"scale", "x"}, {"title", "tokens of the prefix"}}})},
      {"legends", Json::array({Json{{"fill", "colour"}, {"orient", "top"}, {"symbolType", "square"}}})},
      {"marks", Json::array({group})}};
  return drawn("The first token after a prefix",
               "Medians: the prefix computed anew, its past forked in memory, or restored from a file that the system "
               "still has in memory or has to read from the disk.",
               specification);
}

}  // namespace pkv::measure
