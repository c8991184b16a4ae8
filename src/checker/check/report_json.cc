#include <cmath>
#include <nlohmann/json.hpp>

#include "checker/check/report.h"
#include "show/dumped.h"

namespace pkv::check {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Description& d) {
  return {{"name", d.name},
          {"family", d.family},
          {"system", d.system},
          {"format", d.format},
          {"past_format", d.past_format.empty() ? Json(nullptr) : Json(d.past_format)},
          {"values_format", values_precision(d).name},
          {"logits_format", logits_precision(d).name},
          {"layers", d.layers},
          {"width", d.width},
          {"promises_same_bits", d.promises_same_bits}};
}

Json json_of(const Summary& s) {
  Json all = Json::object();
  for (std::size_t i = 0; i < Summary::names.size(); ++i) all[std::string(Summary::names[i])] = s.values()[i];
  return all;
}

Json json_of(const Table& t) {
  return {{"without_past", json_of(t.without_past)},
          {"with_past", json_of(t.with_past)},
          {"absolute_difference", json_of(t.absolute)},
          {"relative_difference", json_of(t.relative)}};
}

Json json_of(const std::optional<Place>& p) {
  if (!p) return nullptr;
  return {{"past", p->past < 0 ? Json(nullptr) : Json(p->past)}, {"position", p->position}};
}

Json json_of(const Difference& d) {
  return {{"positions", d.positions},   {"same_bits", d.same_bits},
          {"max_abs", d.max_abs},       {"ulps", d.ulps},
          {"max_kl", d.max_kl},         {"top_flips", d.top_flips},
          {"not_finite", d.not_finite}, {"worst", json_of(d.worst)},
          {"first", json_of(d.first)},  {"first_not_finite", json_of(d.first_not_finite)}};
}

Json json_of(const Result& r) {
  Json all{{"name", r.name}, {"sentence", r.sentence}, {"runs", r.runs}};
  all["left_out"] = r.left_out.empty() ? Json(nullptr) : Json(r.left_out);
  all["difference"] = r.left_out.empty() ? json_of(r.difference) : Json(nullptr);
  return all;
}

Json json_of(const Finding& f) {
  const Json shown = f.shown == Answer::unknown ? Json(nullptr) : Json(f.shown == Answer::yes);
  return {{"shown", shown}, {"sentence", f.sentence}};
}

Json json_of(const Evidence& e) {
  Json influences = Json::array();
  for (const auto& p : e.influences) {
    influences.push_back({{"past", p.past}, {"without_it", p.without_it}, {"with_another", p.with_another}});
  }
  return {{"past_exists", json_of(e.exists)},
          {"past_has_right_length", json_of(e.length)},
          {"past_is_used", json_of(e.used)},
          {"control", json_of(e.control)},
          {"used_past_is_taken_again", json_of(e.again)},
          {"noise", e.noise},
          {"probes", influences}};
}

Json json_of(const Bound& b) {
  return {{"value", b.value},  {"largest_logit", b.largest_logit}, {"layers", b.layers},
          {"width", b.width},  {"assumed_size", b.assumed_size},   {"values_format", b.values_format},
          {"reason", b.reason}};
}

Json json_of(const Explanation& e) {
  return {{"cause", e.cause},
          {"statement", e.statement},
          {"confirmed", e.confirmed},
          {"evidence", e.evidence},
          {"rows", e.rows},
          {"same_rows", e.same_rows},
          {"explained", e.explained},
          {"look_at", e.look_at},
          {"reference", e.reference.empty() ? Json(nullptr) : Json(e.reference)}};
}

Json json_of(const Verdict& v) {
  return {{"outcome", name_of(v.outcome)}, {"holds", v.holds()}, {"sentence", v.sentence}, {"reasons", v.reasons}};
}

Json json_of(const std::optional<Gain>& g) {
  if (!g) return nullptr;
  return {
      {"times_faster", g->times}, {"error", g->error ? Json(*g->error) : Json(nullptr)}, {"new_tokens", g->new_tokens}};
}

Json json_of(const Cell& c) {
  return {{"past", c.place.past}, {"position", c.place.position}, {"max_abs", c.max_abs}, {"ulps", c.ulps}};
}

Json json_of(const Histogram& h) { return {{"first", h.first}, {"width", h.width}, {"counts", h.counts}}; }

Json json_of(const LayerDistance& l) { return {{"max_abs", l.max_abs}, {"largest", l.largest}}; }

// -1 stands for what is not known.
Json known(std::int64_t index) { return index < 0 ? Json(nullptr) : Json(index); }

Json json_of(const Parting& p) {
  return {{"past", p.past},        {"position", p.position}, {"layer", known(p.layer)},
          {"head", known(p.head)}, {"embedded", p.embedded}, {"sentence", p.sentence}};
}

Json json_of(const Causality& c) {
  const Json holds = c.holds == Answer::unknown ? Json(nullptr) : Json(c.holds == Answer::yes);
  return {{"holds", holds}, {"first_layer", known(c.first_layer)}, {"moved", c.moved}, {"sentence", c.sentence}};
}

Json json_of(const show::Environment& e) {
  return {{"program", e.program},
          {"processor", e.processor},
          {"system", e.system},
          {"compiler", e.compiler},
          {"time", e.time.empty() ? Json(nullptr) : Json(e.time)}};
}

template <class T>
Json each_of(const std::vector<T>& values) {
  Json all = Json::array();
  for (const T& value : values) all.push_back(json_of(value));
  return all;
}

Json json_of(const Report& r) {
  return {{"schema", "pkv-check/2"},
          {"verdict", json_of(r.verdict)},
          {"causes", each_of(r.causes)},
          {"causes_tried", r.causes_tried},
          {"explaining", {{"feeds", r.explaining_feeds}, {"tokens", r.explaining_tokens}}},
          {"subject", json_of(r.subject)},
          {"text", r.text},
          {"ids", r.ids},
          {"vocab", r.vocab},
          {"table", json_of(r.table)},
          {"experiments", each_of(r.results)},
          {"total", json_of(r.total)},
          {"evidence", json_of(r.evidence)},
          {"causality", json_of(r.causality)},
          {"parting", r.parting ? json_of(*r.parting) : Json(nullptr)},
          {"layers", each_of(r.layers)},
          {"positions_of_cell", r.positions_of_cell},
          {"cells", each_of(r.cells)},
          {"histograms",
           {{"without_past", json_of(r.without_past)},
            {"with_past", json_of(r.with_past)},
            {"absolute_difference", json_of(r.distances)}}},
          {"bound", json_of(r.bound)},
          {"gain", json_of(r.gain)},
          {"notes", r.notes},
          {"environment", json_of(r.environment)},
          {"command", r.command}};
}

}  // namespace

std::string report_json(const Report& report) { return show::dumped(json_of(report)); }

std::string summary_json(std::span<const Report> reports, std::span<const NotChecked> others) {
  Json models = Json::array(), not_checked = Json::array();
  for (const auto& r : reports) models.push_back(json_of(r));
  for (const auto& o : others) not_checked.push_back({{"model", o.model}, {"message", o.message}});
  return show::dumped(Json{{"schema", "pkv-review/2"}, {"models", models}, {"not_checked", not_checked}});
}

}  // namespace pkv::check
