#include <cmath>
#include <nlohmann/json.hpp>

#include "check/report.h"

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
  const Json shown = f.shown == Finding::Shown::unknown ? Json(nullptr) : Json(f.shown == Finding::Shown::yes);
  return {{"shown", shown}, {"sentence", f.sentence}};
}

Json json_of(const Evidence& e) {
  Json probes = Json::array();
  for (const auto& p : e.probes) {
    probes.push_back({{"past", p.past}, {"without_it", p.without_it}, {"with_another", p.with_another}});
  }
  return {{"past_exists", json_of(e.exists)},
          {"past_has_right_length", json_of(e.length)},
          {"past_is_used", json_of(e.used)},
          {"control", json_of(e.control)},
          {"noise", e.noise},
          {"probes", probes}};
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

Json json_of(const Report& r) {
  Json results = Json::array();
  for (const auto& result : r.results) results.push_back(json_of(result));
  Json causes = Json::array();
  for (const auto& cause : r.causes) causes.push_back(json_of(cause));
  return {{"schema", "pkv-check/1"},
          {"verdict", json_of(r.verdict)},
          {"causes", causes},
          {"causes_tried", r.causes_tried},
          {"subject", json_of(r.subject)},
          {"text", r.text},
          {"ids", r.ids},
          {"vocab", r.vocab},
          {"table", json_of(r.table)},
          {"experiments", results},
          {"total", json_of(r.total)},
          {"evidence", json_of(r.evidence)},
          {"bound", json_of(r.bound)},
          {"gain", json_of(r.gain)},
          {"notes", r.notes}};
}

// Text that is not UTF-8 is shown with replacement characters instead of failing.
std::string dumped(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

std::string report_json(const Report& report) { return dumped(json_of(report)); }

std::string summary_json(std::span<const Report> reports) {
  Json models = Json::array();
  for (const auto& r : reports) models.push_back(json_of(r));
  return dumped({{"schema", "pkv-review/1"}, {"models", models}});
}

}  // namespace pkv::check
