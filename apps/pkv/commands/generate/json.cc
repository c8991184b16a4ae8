#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands/generate/writer.h"
#include "engine/model/model.h"
#include "show/dumped.h"
#include "subjects/engine.h"

namespace pkv::program {
namespace {

using Json = nlohmann::ordered_json;

Json options_json(const generate::Options& o, const std::vector<std::string>& stop) {
  const generate::Sampling& s = o.sampling;
  Json json{{"max_new_tokens", o.max_new_tokens},
            {"do_sample", s.do_sample},
            {"repetition_penalty", s.repetition_penalty},
            {"eos_token_id", o.eos_token_id},
            {"stop_strings", stop},
            {"num_sequences", o.num_sequences},
            {"use_past", o.use_past}};
  if (!s.do_sample) return json;
  json["temperature"] = s.temperature;
  json["top_k"] = s.top_k;
  json["top_p"] = s.top_p;
  json["min_p"] = s.min_p;
  json["seed"] = s.seed;
  return json;
}

Json timings_json(const generate::Result& r) {
  Json json{{"prompt_seconds", r.prompt_seconds}, {"seconds", r.seconds}};
  if (r.sequences[0].seconds.empty()) return json;
  const double first = r.sequences[0].seconds[0];
  std::size_t after = 0;
  for (const generate::Sequence& s : r.sequences) after += s.ids.size() - 1;
  json["time_to_first_token"] = first;
  if (after > 0 && r.seconds > first) json["tokens_per_second"] = static_cast<double>(after) / (r.seconds - first);
  return json;
}

}  // namespace

std::string Writer::json(const model::Model& model, const std::string& name, const generate::Result& result) const {
  const std::string weights(model.weights().format()), past(pkv::name_of(model.past_dtype()));
  const auto text = [](const std::optional<std::string>& given) { return given ? Json(*given) : Json(); };
  Json json{{"schema", "pkv-generate/1"},
            {"model", name},
            {"family", model.card().family},
            {"system", subjects::system_of(model)},
            {"format", weights},
            {"past_format", past},
            {"prompt", text(writing_.prompt)},
            {"prompt_ids", writing_.ids},
            {"reused", result.reused},
            {"saved_tokens", writing_.saved_tokens},
            {"options", options_json(writing_.options, writing_.stop)},
            {"interrupted", result.interrupted},
            {"sequences", Json::array()}};
  for (std::size_t i = 0; i < result.sequences.size(); ++i) {
    const generate::Sequence& s = result.sequences[i];
    Json one{{"text", Json()}, {"ids", s.ids}, {"tokens", Json()}};
    if (tokenizer_ != nullptr) {
      one["text"] = pages_[i].text, one["tokens"] = Json::array();
      for (const std::int32_t id : s.ids) one["tokens"].push_back(tokenizer_->has(id) ? tokenizer_->token(id) : "");
    }
    one["log_probabilities"] = s.log_probabilities;
    one["seconds"] = s.seconds;
    one["finish_reason"] = generate::name_of(s.finish);
    if (pages_[i].stop.found()) one["stop_string"] = *pages_[i].stop.found();
    if (writing_.options.sampling.do_sample) one["seed"] = s.seed;
    one["logits_hash"] = fmt::format("{:016x}", s.logits_hash);
    json["sequences"].push_back(std::move(one));
  }
  json["timings"] = timings_json(result);
  return show::dumped(json);
}

}  // namespace pkv::program
