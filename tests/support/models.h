// Models for tests: the odd little ones of tests/golden/data (random weights with peaked attention, made by
// tools/make_goldens.py) and the bundled trained ones.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "engine/kernels/kernels.h"
#include "engine/model/arch/decoder.h"
#include "engine/model/architectures.h"
#include "engine/model/model.h"
#include "support/places.h"

namespace pkv::support {

inline std::filesystem::path golden_data() { return source() / "tests" / "golden" / "data"; }

// Folders below `root` that hold a config.json, sorted by name.
inline std::vector<std::filesystem::path> model_folders(const std::filesystem::path& root) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (std::filesystem::exists(entry.path() / "config.json")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The model_type of a golden model: the line of config.json that says it, as transformers writes it. Each process asks
// this of all models to list its cases, and to read so many files as JSON costs more than most tests do.
inline std::string model_type(const std::filesystem::path& folder) {
  std::ifstream config(folder / "config.json");
  const std::string begins = "  \"model_type\": \"";
  for (std::string line; std::getline(config, line);) {
    if (line.starts_with(begins)) return line.substr(begins.size(), line.rfind('"') - begins.size());
  }
  return hf::Config::open(folder / "config.json").text({"model_type"});
}

// Whether a golden model's tokens see only what is before them. By its config.json alone: opening it reads its weights'
// headers, too.
inline bool causal(const std::filesystem::path& folder) {
  const model::Architecture* found = model::find_architecture(model_type(folder));
  return found == nullptr || !found->encoder || hf::Config::open(folder / "config.json").flag_or({"is_decoder"}, false);
}

// Tables of plain loops, for which fewer draws and shorter texts have to do.
inline bool is_slow(std::string_view table) { return table != "cpu"; }

// A golden model and a table of kernels to run it on. `once`: under the best instruction set alone, and with few draws.
struct GoldenCase {
  std::filesystem::path folder;
  std::string table;
  bool once = false;
};

// Whether this process runs under a lesser instruction set than the machine's best, as ctest's `NAME@SSE4`: what is
// tried in many combinations under the best is tried in some of them here.
inline bool under_lesser_set() { return kernels::cpu::instruction_set() != kernels::cpu::instruction_sets().front(); }

// Another config of a model whose files these are, too.
inline bool is_twin(const std::filesystem::path& folder) {
  return std::filesystem::is_symlink(folder / "expected.safetensors");
}

// Whether a model stands for others that are computed by the same verbs: a row of the table is another reading of a
// config, which one run proves; what a forward can do is tried in full on those named here.
inline bool is_one_of_many(const std::filesystem::path& folder) {
  static const std::vector<std::string> kRepresentatives = {"llama-grouped",
                                                            "llama-rope-yarn",
                                                            "mistral-window-over-blocks",
                                                            "ministral3-temperature",
                                                            "gemma2-windows",
                                                            "cohere2-windows",
                                                            "gemma3-pattern-2",
                                                            "glm4-plain",
                                                            "granite-biases",
                                                            "olmo-clip",
                                                            "olmo2-plain",
                                                            "hunyuan-alpha",
                                                            "apertus-plain",
                                                            "phi3-partial",
                                                            "bigcode-all-heads",
                                                            "lfm2-mixed",
                                                            "lfm2-convolutions-alone",
                                                            "qwen35-mixed",
                                                            "qwen35-nets-alone",
                                                            "qwen2-moe-some-layers",
                                                            "glm4-moe-groups",
                                                            "gpt-oss-windows",
                                                            "mamba2-limits",
                                                            "bamba-mixed",
                                                            "stablelm-parallel"};
  const auto rows = model::arch::rows();
  const bool row = std::ranges::find(rows, model_type(folder), &model::arch::Row::model_type) != rows.end();
  return is_twin(folder) ||
         (row && std::ranges::find(kRepresentatives, folder.filename().string()) == kRepresentatives.end());
}

inline void PrintTo(const GoldenCase& c, std::ostream* os) { *os << c.folder.filename().string() << " " << c.table; }

inline std::vector<GoldenCase> golden_cases(bool causal_only) {
  std::vector<GoldenCase> all;
  for (const auto& folder : model_folders(golden_data())) {
    if (causal_only && !causal(folder)) continue;
    const bool once = is_one_of_many(folder);
    for (const kernels::Ops* ops : kernels::tables()) {
      if (once && is_slow(ops->name) && (causal_only || is_twin(folder))) continue;  // the law, and what a twin says
      all.push_back({folder, std::string(ops->name), once});
    }
  }
  return all;
}

inline model::Model load(const std::filesystem::path& folder, std::string_view table, int threads = 2,
                         const model::LoadOptions& options = {}) {
  return model::load(hf::Folder::open(folder), kernels::Backend(table, threads), options);
}

inline std::vector<std::int32_t> random_ids(std::uint64_t seed, std::int64_t count, std::int64_t vocab) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>(random_bits(seed, static_cast<std::uint64_t>(i)) %
                                            static_cast<std::uint64_t>(vocab)));
  }
  return ids;
}

inline std::vector<float> feed(const model::Model& model, model::Past& past, std::span<const std::int32_t> ids) {
  const model::Feed feed{.ids = ids, .past = &past};
  const model::Logits logits = model.forward({&feed, 1});
  const auto values = logits.span<float>();
  return {values.begin(), values.end()};
}

// A name that GoogleTest accepts.
inline std::string test_name(std::string name) {
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

inline std::string test_name(const GoldenCase& c) {
  return test_name(c.folder.filename().string() + "_" + c.table + (c.once ? "_once" : ""));
}

}  // namespace pkv::support
