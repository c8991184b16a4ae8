#include <fmt/format.h>

#include "base/json_writer.h"
#include "commands/generate/writer.h"
#include "engine/model/model.h"
#include "subjects/engine.h"

namespace pkv::program {
namespace {

void write_options(JsonWriter& json, const generate::Options& o, const std::vector<std::string>& stop) {
  const generate::Sampling& s = o.sampling;
  json.member("max_new_tokens", o.max_new_tokens);
  json.member("do_sample", s.do_sample);
  json.member("repetition_penalty", s.repetition_penalty);
  json.member("eos_token_id", o.eos_token_id);
  json.member("stop_strings", stop);
  json.member("num_sequences", o.num_sequences);
  json.member("use_past", o.use_past);
  if (!s.do_sample) return;
  json.member("temperature", s.temperature);
  json.member("top_k", s.top_k);
  json.member("top_p", s.top_p);
  json.member("min_p", s.min_p);
  json.member("seed", s.seed);
}

void write_timings(JsonWriter& json, const generate::Result& r) {
  json.member("prompt_seconds", r.prompt_seconds);
  json.member("seconds", r.seconds);
  if (r.sequences[0].seconds.empty()) return;
  const double first = r.sequences[0].seconds[0];
  std::size_t after = 0;
  for (const generate::Sequence& s : r.sequences) after += s.ids.size() - 1;
  json.member("time_to_first_token", first);
  if (after > 0 && r.seconds > first)
    json.member("tokens_per_second", static_cast<double>(after) / (r.seconds - first));
}

void write_tokens(JsonWriter& json, const text::Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  json.array([&] {
    for (const std::int32_t id : ids) json.value(tokenizer.has(id) ? tokenizer.token(id) : std::string());
  });
}

}  // namespace

void Writer::write_sequence(JsonWriter& json, std::size_t i, const generate::Sequence& s) const {
  json.key("text");
  tokenizer_ != nullptr ? json.value(written_[i].text) : json.null();
  json.member("ids", s.ids);
  json.key("tokens");
  tokenizer_ != nullptr ? write_tokens(json, *tokenizer_, s.ids) : json.null();
  json.member("log_probabilities", s.log_probabilities);
  json.member("seconds", s.seconds);
  json.member("finish_reason", generate::name_of(s.finish));
  if (written_[i].stop.found()) json.member("stop_string", *written_[i].stop.found());
  if (writing_.options.sampling.do_sample) json.member("seed", s.seed);
  json.member("logits_hash", fmt::format("{:016x}", s.logits_hash));
}

std::string Writer::json(const model::Model& model, const std::string& name, const generate::Result& result) const {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-generate/1");
  json.member("model", name);
  json.member("family", model.card().family);
  json.member("system", subjects::system_of(model));
  json.member("format", model.weights().format());
  json.member("past_format", pkv::name_of(model.past_dtype()));
  json.member("prompt", writing_.prompt);
  json.member("prompt_ids", writing_.ids);
  json.member("reused", result.reused);
  json.member("saved_tokens", writing_.saved_tokens);
  json.object("options", [&] { write_options(json, writing_.options, writing_.stop); });
  json.member("interrupted", result.interrupted);
  json.array("sequences", [&] {
    for (std::size_t i = 0; i < result.sequences.size(); ++i) {
      json.object([&] { write_sequence(json, i, result.sequences[i]); });
    }
  });
  json.object("timings", [&] { write_timings(json, result); });
  json.close_object();
  return json.text() + "\n";
}

}  // namespace pkv::program
