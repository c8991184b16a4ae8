#include "subjects/recorded.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/error.h"
#include "base/utf8.h"
#include "checker/compare/precision.h"
#include "engine/tensor/element.h"
#include "files/hf/hf.h"

namespace pkv::subjects {
namespace {

constexpr std::int64_t kUnknown = -1;  // a past length that the system did not say

[[noreturn]] void fail_tensor(const containers::SafeTensors& file, const containers::Tensor& t, std::string expected) {
  fail_load({.what = "not a recording: tensor has the wrong form",
             .where = fmt::format("{}: tensor '{}'", file.path().string(), t.name),
             .expected = std::move(expected),
             .found = fmt::format("{} {}", safetensors_name(t.dtype), shape_text(t.shape))});
}

std::vector<std::int32_t> read_ids(const containers::SafeTensors& file) {
  const containers::Tensor& t = file.get("ids");
  if (t.shape.size() != 1 || (t.dtype != DType::i64 && t.dtype != DType::i32)) fail_tensor(file, t, "I64 [tokens]");
  std::vector<std::int32_t> ids(static_cast<std::size_t>(t.shape[0]));
  for (std::int64_t i = 0; i < t.shape[0]; ++i) {
    const std::int64_t id = t.dtype == DType::i64 ? load_element<std::int64_t>(t.data.data(), i)
                                                  : load_element<std::int32_t>(t.data.data(), i);
    if (id < 0 || id > INT32_MAX) fail_tensor(file, t, "token ids");
    ids[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(id);
  }
  return ids;
}

std::vector<float> floats_of(const containers::SafeTensors& file, const containers::Tensor& t) {
  if (!is_float(t.dtype)) fail_tensor(file, t, "F32, F16 or BF16");
  std::vector<float> values(t.data.size() / size_of(t.dtype));
  load_elements(t.data.data(), t.dtype, 0, values);
  return values;
}

// [rows, vocab]
session::Logits logits_of(const containers::SafeTensors& file, const containers::Tensor& t) {
  if (t.shape.size() != 2 || t.shape[0] < 1 || t.shape[1] < 1) fail_tensor(file, t, "[tokens, vocab]");
  return {.vocab = t.shape[1], .values = floats_of(file, t)};
}

// Of all tokens, or of some rows.
session::Logits read_logits(const containers::SafeTensors& file, std::size_t expected) {
  const containers::Tensor& t = file.get("logits");
  const bool rows = t.shape.size() == 2 && t.shape[0] == static_cast<std::int64_t>(expected) && t.shape[1] > 0;
  if (!rows) fail_tensor(file, t, fmt::format("F32, F16 or BF16 [{}, vocab]", expected));
  return logits_of(file, t);
}

// [layers + 1, tokens, width]
session::States states_of(const containers::SafeTensors& file, const containers::Tensor& t) {
  if (t.shape.size() != 3 || std::ranges::any_of(t.shape, [](std::int64_t d) { return d < 1; })) {
    fail_tensor(file, t, "[layers + 1, tokens, width]");
  }
  const std::vector<float> all = floats_of(file, t);
  session::States states{.width = t.shape[2], .layers = {}, .attended = {}};
  for (std::int64_t l = 0; l < t.shape[0]; ++l) {
    const auto from = all.begin() + l * t.shape[1] * t.shape[2];
    states.layers.emplace_back(from, from + t.shape[1] * t.shape[2]);
  }
  return states;
}

std::string value_of(const containers::SafeTensors& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

[[noreturn]] void fail_metadata(const containers::SafeTensors& file, const std::string& key, std::string expected) {
  fail_load({.what = "not a recording: metadata that cannot be read",
             .where = fmt::format("{}: metadata '{}'", file.path().string(), key),
             .expected = std::move(expected),
             .found = printable(value_of(file, key))});
}

// None where the key is missing or empty.
std::vector<std::int64_t> numbers_of(const containers::SafeTensors& file, const std::string& key,
                                     std::int64_t least = 0) {
  std::vector<std::int64_t> numbers;
  std::istringstream text(value_of(file, key));
  for (std::string one; std::getline(text >> std::ws, one, ',');) {
    one.erase(one.find_last_not_of(" \n\r\t") + 1);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), number);
    if (error != std::errc() || end != one.data() + one.size() || number < least) {
      fail_metadata(file, key, fmt::format("numbers from {} on, separated by commas", least));
    }
    numbers.push_back(number);
  }
  return numbers;
}

// 0: not known.
std::int64_t number_of(const containers::SafeTensors& file, const std::string& key) {
  const auto numbers = numbers_of(file, key);
  if (numbers.size() > 1) fail_metadata(file, key, "one number");
  return numbers.empty() ? 0 : numbers[0];
}

// Formats under the names of other programs: "float32", "torch.bfloat16".
std::string format_name(std::string name) {
  if (name.starts_with("torch.")) name.erase(0, 6);
  const check::Precision* known = check::find_precision(name);
  return known == nullptr ? name : std::string(known->name);
}

// What values are rounded to; empty: not known.
std::string values_format(const containers::SafeTensors& file, const std::string& key) {
  const std::string name = format_name(value_of(file, key));
  if (!name.empty() && check::find_precision(name) == nullptr) {
    fail_metadata(file, key, "float32, float16 or bfloat16");
  }
  return name;
}

std::vector<std::string> words_of(const std::string& text, char between) {
  std::vector<std::string> words;
  std::istringstream all(text);
  for (std::string word; std::getline(all, word, between);) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

std::optional<check::Probes> read_probes(const containers::SafeTensors& file) {
  const std::string version = value_of(file, "probes");
  if (version.empty()) return std::nullopt;
  if (version != "1" && version != "2") {
    fail_load({.what = "probes of another version",
               .where = file.path().string() + ": metadata 'probes'",
               .expected = "1 or 2",
               .found = version,
               .hint = "a newer pkv, or the tools/record_transformers.py of this one"});
  }
  constexpr std::string_view kRun = "probe.", kSupposed = "suppose.", kStates = ".hidden";
  check::Probes probes{.past = number_of(file, "probe_past")};
  for (const containers::Tensor& t : file.tensors()) {
    const std::string_view name = t.name;
    if (name.starts_with(kSupposed)) probes.supposed[std::string(name.substr(kSupposed.size()))] = logits_of(file, t);
    if (!name.starts_with(kRun)) continue;
    const std::string run(name.substr(kRun.size()));
    if (run == "states_apart")
      probes.states_apart = states_of(file, t);
    else if (run == "heads_apart")
      probes.heads_apart = states_of(file, t);
    else if (run.ends_with(kStates))
      probes.states[run.substr(0, run.size() - kStates.size())] = states_of(file, t);
    else
      probes.runs[run] = logits_of(file, t);
  }
  probes.twice_lengths = numbers_of(file, "probe_twice_lengths");
  probes.wide_format = format_name(value_of(file, "probe_wide_format"));
  if (const std::int64_t rows = number_of(file, "probe_rows"); rows > 0) probes.rows = rows;
  if (const auto said = numbers_of(file, "probe_cropped_length", kUnknown); !said.empty()) {
    probes.cropped_length = said.front();
  }
  probes.supposed_for = value_of(file, "supposed_for");
  probes.uses_format = format_name(value_of(file, "uses_in"));
  if (const auto at = numbers_of(file, "probe_one_and_two"); !at.empty()) probes.one_and_two_at = at.front();
  probes.tried = words_of(value_of(file, "tried"), ' ');
  probes.left_out = words_of(value_of(file, "left_out"), '\n');
  for (std::string& line : probes.left_out) line = printable(line);
  constexpr std::string_view kRows = "rows.probe.";
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with(kRows)) probes.at[key.substr(kRows.size())] = numbers_of(file, key);
  }
  return probes;
}

}  // namespace

check::Recording read_recording(const std::filesystem::path& path) {
  const containers::SafeTensors file = containers::SafeTensors::open(path);
  check::Recording r;
  r.ids = read_ids(file);
  r.at = numbers_of(file, "rows");
  r.logits = read_logits(file, r.whole() ? r.ids.size() : r.at.size());
  r.text = value_of(file, "text");
  r.description = {.name = value_of(file, "model"),
                   .family = value_of(file, "family"),
                   .system = value_of(file, "backend"),
                   .format = format_name(value_of(file, "format")),
                   .past_format = format_name(value_of(file, "past_format")),
                   .values_format = values_format(file, "values_format"),
                   .logits_format = std::string(name_of(file.get("logits").dtype)),
                   .layers = number_of(file, "layers"),
                   .width = number_of(file, "width")};
  if (r.description.past_format == r.description.format) r.description.past_format.clear();
  if (r.description.name.empty()) r.description.name = path.filename().string();
  r.past_file = value_of(file, "past_file");
  r.past_tokens = number_of(file, "past_tokens");
  r.padding = number_of(file, "left_padding");
  r.pieces = numbers_of(file, "pieces");
  for (const std::int64_t said : numbers_of(file, "past_lengths", kUnknown)) {
    r.past_lengths.push_back(said == kUnknown ? std::nullopt : std::optional(said));
  }
  const auto hidden = std::ranges::find(file.tensors(), "hidden", &containers::Tensor::name);
  if (hidden != file.tensors().end()) r.states = states_of(file, *hidden);
  const auto routes = std::ranges::find(file.tensors(), "routes", &containers::Tensor::name);
  if (routes != file.tensors().end()) r.routes = {states_of(file, *routes), numbers_of(file, "route_layers")};
  r.probes = read_probes(file);
  return r;
}

void write_recording(const std::filesystem::path& path, const check::Recording& r) {
  const std::vector<std::int64_t> ids(r.ids.begin(), r.ids.end());
  std::vector<std::int64_t> past_lengths;
  for (const auto& said : r.past_lengths) past_lengths.push_back(said.value_or(kUnknown));
  const auto n = static_cast<std::int64_t>(ids.size());
  const std::vector<containers::Tensor> tensors{
      {.name = "ids", .dtype = DType::i64, .shape = {n}, .data = std::as_bytes(std::span(ids))},
      {.name = "logits",
       .dtype = DType::f32,
       .shape = {n, r.logits.vocab},
       .data = std::as_bytes(std::span(r.logits.values))}};
  std::map<std::string, std::string> metadata{{"model", r.description.name},
                                              {"family", r.description.family},
                                              {"backend", r.description.system},
                                              {"format", r.description.format},
                                              {"past_format", r.description.past_format},
                                              {"values_format", r.description.values_format},
                                              {"layers", std::to_string(r.description.layers)},
                                              {"width", std::to_string(r.description.width)},
                                              {"text", r.text},
                                              {"pieces", fmt::format("{}", fmt::join(r.pieces, ","))},
                                              {"past_lengths", fmt::format("{}", fmt::join(past_lengths, ","))}};
  if (!r.past_file.empty()) {
    metadata["past_file"] = r.past_file;
    metadata["past_tokens"] = std::to_string(r.past_tokens);
  }
  containers::write_safetensors(path, tensors, metadata);
}

}  // namespace pkv::subjects
