#include <nlohmann/json.hpp>

#include "checker/measure/numbers.h"
#include "checker/measure/report.h"
#include "show/dumped.h"

namespace pkv::measure {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Samples& samples) {
  if (samples.empty()) return nullptr;
  const Spread s = spread_of(samples);
  return {{"median", s.median}, {"mean", s.mean}, {"deviation", s.deviation},
          {"min", s.least},     {"max", s.most},  {"samples", samples}};
}

Json json_of(const Ratio& r) { return {{"times", r.times}, {"error", r.error ? Json(*r.error) : Json(nullptr)}}; }

Json json_of(const std::optional<std::int64_t>& n) { return n ? Json(*n) : Json(nullptr); }

Json json_of(const Curve& curve) {
  Json points = Json::array();
  for (std::size_t i = 0; i < curve.positions.size(); ++i) {
    points.push_back({{"token", curve.positions[i] + 1}, {"seconds", json_of(curve.seconds[i])}});
  }
  return points;
}

Json json_of(const Generation& g) {
  const auto n = static_cast<double>(g.new_tokens);
  const auto variant = [&](const Samples& total, const Curve& curve) {
    return Json{{"total_seconds", json_of(total)},
                {"tokens_per_second", n / median_of(total)},
                {"first_token_seconds", json_of(curve.seconds.front())},
                {"per_token", json_of(curve)}};
  };
  return {{"depth", g.depth},
          {"prompt_tokens", g.prompt},
          {"new_tokens", g.new_tokens},
          {"faster", json_of(g.faster())},
          {"faster_2_from", json_of(g.passes(2))},
          {"faster_10_from", json_of(g.passes(10))},
          {"without_past_is_sampled", g.sampled()},
          {"logits_hash", hash_text(g.hash)},
          {"bytes_per_token", g.bytes_per_token},
          {"flop_per_token", g.flop_per_token},
          {"share_of_read_rate", json_of(g.read_share)},
          {"prompt_share_of_fma_rate", json_of(g.fma_share)},
          {"with_past", variant(g.with_total, g.with_past)},
          {"without_past", variant(g.without_total, g.without_past)}};
}

Json json_of(const Reuse& r) {
  Json j{{"prefix_tokens", r.prefix},
         {"saved_bytes", r.saved_bytes},
         {"save_seconds", r.save_seconds},
         {"logits_hash", hash_text(r.hash)}};
  constexpr const char* kKeys[] = {"recomputed", "memory", "page_cache", "disk"};
  for (int way = 0; way < Reuse::ways; ++way) {
    if (r.seconds[way].empty()) {
      j[kKeys[way]] = nullptr;
      continue;
    }
    j[kKeys[way]] = {{"first_token_seconds", json_of(r.seconds[way])}};
    if (way > 0) j[kKeys[way]]["faster"] = json_of(r.faster(static_cast<Reuse::Way>(way)));
  }
  return j;
}

Json json_of(const Disagreement& d) { return {{"variant", d.variant}, {"tokens", d.tokens}}; }

template <class T>
Json list_of(const std::vector<T>& values) {
  Json all = Json::array();
  for (const T& v : values) all.push_back(json_of(v));
  return all;
}

}  // namespace

std::string report_json(const Result& r) {
  const session::Description& d = r.subject;
  const auto disk = disk_rate(r.reuse);
  const Json json{{"schema", "pkv-bench/1"},
                  {"holds", r.holds()},
                  {"finding", headline(r)},
                  {"subject",
                   {{"name", d.name},
                    {"family", d.family},
                    {"system", d.system},
                    {"format", d.format},
                    {"past_format", d.past_format},
                    {"vocab", d.vocab},
                    {"weight_bytes", r.weight_bytes},
                    {"layers_fmas_per_token", r.layer_fmas},
                    {"output_fmas", r.output_fmas}}},
                  {"repetitions", r.repetitions},
                  {"warmup", r.warmup},
                  {"generation", list_of(r.generation)},
                  {"reuse", list_of(r.reuse)},
                  {"reuse_worth_from",
                   {{"memory", json_of(worth_from(r.reuse, Reuse::memory))},
                    {"page_cache", json_of(worth_from(r.reuse, Reuse::page_cache))},
                    {"disk", json_of(worth_from(r.reuse, Reuse::disk))}}},
                  {"machine",
                   {{"read_bytes_per_second", json_of(r.read_rate)},
                    {"fma_per_second", json_of(r.fma_rate)},
                    {"disk_bytes_per_second", disk ? Json(*disk) : Json(nullptr)},
                    {"peak_memory_bytes", r.peak_memory}}},
                  {"rows_compared", r.rows_compared},
                  {"disagreements", list_of(r.disagreements)},
                  {"notes", r.notes}};
  return show::dumped(json);
}

}  // namespace pkv::measure
