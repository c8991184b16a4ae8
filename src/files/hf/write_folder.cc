#include "files/hf/write_folder.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/hf/tokenizer_files.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;

using Shards = std::vector<std::vector<containers::Planned>>;

Shards shards_of(std::span<const PlannedGroup> groups, std::uint64_t max_shard) {
  Shards shards;
  std::uint64_t filled = 0;
  for (const PlannedGroup& group : groups) {
    std::uint64_t bytes = 0;
    for (const containers::Planned& t : group) bytes += containers::bytes_of(t);
    if (shards.empty() || (filled != 0 && filled + bytes > max_shard)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().insert(shards.back().end(), group.begin(), group.end());
    filled += bytes;
  }
  return shards;
}

std::string name_of_shard(std::size_t i, std::size_t count) {
  if (count == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, count);
}

void write_index(const fs::path& folder, const Shards& shards, std::uint64_t total) {
  Json::Object shard_of;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const containers::Planned& t : shards[i]) shard_of[t.name] = name_of_shard(i, shards.size());
  }
  const Json index(
      Json::Object{{"metadata", Json::Object{{"total_size", total}}}, {"weight_map", std::move(shard_of)}});
  write_file(folder / "model.safetensors.index.json", index.dump(2, true) + "\n");
}

}  // namespace

std::vector<std::string> write_weights(const fs::path& folder, std::span<const PlannedGroup> groups,
                                       std::uint64_t max_shard, const Progress& progress) {
  const Shards shards = shards_of(groups, max_shard);
  std::uint64_t total = 0, done = 0;
  for (const auto& shard : shards) {
    for (const containers::Planned& t : shard) total += containers::bytes_of(t);
  }
  const auto wrote = [&](std::uint64_t bytes) {
    done += bytes;
    if (progress) progress(static_cast<std::int64_t>(done), static_cast<std::int64_t>(total));
  };
  std::vector<std::string> names;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    names.push_back(name_of_shard(i, shards.size()));
    containers::stream_safetensors(folder / names.back(), shards[i], {{"format", "pt"}}, {.wrote = wrote});
  }
  if (shards.size() > 1) write_index(folder, shards, total);
  return names;
}

std::string config_text(const Config& source, const BitsAndBytes& q, std::string_view dtype) {
  Json::Object config = source.json().members();
  config.erase("transformers_weights");  // names the source's file
  Json::Object quantization{{"_load_in_4bit", !q.eight_bits},
                            {"_load_in_8bit", q.eight_bits},
                            {"bnb_4bit_compute_dtype", q.compute_dtype},
                            {"bnb_4bit_quant_storage", q.storage},
                            {"bnb_4bit_quant_type", q.type},
                            {"bnb_4bit_use_double_quant", q.nested},
                            {"llm_int8_enable_fp32_cpu_offload", false},
                            {"llm_int8_has_fp16_weight", false},
                            {"llm_int8_skip_modules", nullptr},
                            {"llm_int8_threshold", q.threshold},
                            {"load_in_4bit", !q.eight_bits},
                            {"load_in_8bit", q.eight_bits},
                            {"quant_method", "bitsandbytes"}};
  if (!q.skip.empty()) quantization["llm_int8_skip_modules"] = Json::Array(q.skip.begin(), q.skip.end());
  config["quantization_config"] = std::move(quantization);
  if (!dtype.empty()) {
    const bool old = config.contains("torch_dtype");
    if (old) config["torch_dtype"] = dtype;
    if (!old || config.contains("dtype")) config["dtype"] = dtype;
  }
  return Json(std::move(config)).dump(2, true) + "\n";
}

std::vector<std::string> copy_companions(const fs::path& from, const fs::path& to) {
  std::vector<std::string_view> names{"generation_config.json", "spiece.model", "chat_template.jinja",
                                      "chat_template.json", "sentencepiece.bpe.model"};
  names.insert(names.end(), kTokenizerFiles.begin(), kTokenizerFiles.end());
  std::vector<std::string> copied;
  for (const std::string_view name : names) {
    if (!is_present(from / name)) continue;
    std::error_code error;
    if (!fs::copy_file(from / name, to / name, error)) {
      fail_load({.what = "cannot copy: " + error.message(), .where = (from / name).string()});
    }
    copied.emplace_back(name);
  }
  return copied;
}

}  // namespace pkv::hf
