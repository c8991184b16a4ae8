#include "engine/model/past_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <map>

#include "base/checksum.h"
#include "base/error.h"
#include "base/pool.h"
#include "engine/model/fingerprint.h"
#include "engine/model/past_identity.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr std::string_view kSchema = "pkv-past/1";
constexpr std::string_view kWithStates = "pkv-past/2";  // the same where layers keep states
constexpr std::uint64_t kPage = 4096;                   // blocks begin at one, so that a mapped file has them aligned
constexpr std::int64_t kMostOfAShape = 1 << 20;

[[noreturn]] void fail_file(const containers::SafeTensors& file, std::string what, std::string expected = {},
                            std::string found = {}) {
  fail_load({.what = std::move(what),
             .where = file.path().string(),
             .expected = std::move(expected),
             .found = std::move(found),
             .hint = "save the past again: pkv past save"});
}

// Of everything that is not a block: the metadata but for this checksum itself, the ids, the blocks' checksums.
std::string header_checksum(const Metadata& metadata, std::span<const std::byte> ids,
                            std::span<const std::byte> checksums) {
  std::string all;
  const auto append = [&all](const void* data, std::size_t size) { all.append(static_cast<const char*>(data), size); };
  for (const auto& [key, value] : metadata) {
    if (key == "checksum") continue;
    append(key.c_str(), key.size() + 1);
    append(value.c_str(), value.size() + 1);
  }
  append(ids.data(), ids.size());
  append(checksums.data(), checksums.size());
  return fmt::format("{:016x}", checksum(std::as_bytes(std::span(all))));
}

const std::string& text(const containers::SafeTensors& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail_file(file, fmt::format("not a saved past: metadata '{}' is missing", key));
  return found->second;
}

std::string text_or_none(const containers::SafeTensors& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

std::int64_t number(const containers::SafeTensors& file, const std::string& key, std::int64_t least = 1) {
  const std::string& given = text(file, key);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc() || end != given.data() + given.size() || value < least || value > kMostOfAShape) {
    fail_file(file, fmt::format("metadata '{}' is no size", key), fmt::format("{} to {}", least, kMostOfAShape), given);
  }
  return value;
}

const containers::Tensor& tensor(const containers::SafeTensors& file, const std::string& name, DType dtype,
                                 std::span<const std::int64_t> shape) {
  const containers::Tensor& t = file.get(name);
  if (t.dtype != dtype || !std::ranges::equal(t.shape, shape)) {
    fail_file(file, fmt::format("not a saved past: tensor '{}' has the wrong form", name),
              fmt::format("{} {}", safetensors_name(dtype), shape_text(shape)),
              fmt::format("{} {}", safetensors_name(t.dtype), shape_text(t.shape)));
  }
  return t;
}

bool has_states(const containers::SafeTensors& file) { return text(file, "schema") == kWithStates; }

// What is not known may change what the blocks mean.
void require_known_metadata(const containers::SafeTensors& file) {
  static constexpr std::array<std::string_view, 17> kKnown{
      "backend",    "block_tokens", "checksum",  "config",  "format",       "head_dim",
      "held_from",  "kv_heads",     "layers",    "model",   "numerics",     "operations",
      "past_dtype", "schema",       "tokenizer", "weights", "weights_files"};
  for (const auto& [key, value] : file.metadata()) {
    if (std::ranges::count(kKnown, key) != 0) continue;
    if (has_states(file) && (key == "states" || key == "snapshots")) continue;
    fail_file(file, fmt::format("not a saved past of this version: metadata '{}' is not known", key));
  }
}

std::vector<std::int32_t> read_ids(const containers::SafeTensors& file) {
  const containers::Tensor* t = file.find("ids");
  if (t == nullptr || t->dtype != DType::i64 || t->shape.size() != 1 || t->shape[0] < 1) {
    fail_file(file, "not a saved past: tensor 'ids' is missing or has the wrong form", "I64 [tokens]");
  }
  std::vector<std::int32_t> ids;
  ids.reserve(static_cast<std::size_t>(t->shape[0]));
  for (std::int64_t i = 0; i < t->shape[0]; ++i) {
    const auto id = load_element<std::int64_t>(t->data.data(), i);
    if (id < 0 || id > INT32_MAX) fail_file(file, "not a saved past: a token's id is none", {}, std::to_string(id));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

PastShape read_shape(const containers::SafeTensors& file) {
  if (text(file, "schema") != kSchema && !has_states(file)) {
    fail_file(file, "not a saved past of this version", fmt::format("{} or {}", kSchema, kWithStates),
              text(file, "schema"));
  }
  if (number(file, "block_tokens") != kernels::kBlockTokens) {
    fail_file(file, "blocks hold another number of tokens", std::to_string(kernels::kBlockTokens),
              text(file, "block_tokens"));
  }
  const std::string& dtype = text(file, "past_dtype");
  const auto known = from_name(dtype);
  if (!known || !is_float(*known)) fail_file(file, "pasts cannot have this number format", "fp32, fp16 or bf16", dtype);
  const std::int64_t least = has_states(file) ? 0 : 1;  // of models that keep nothing but states
  return {.layers = number(file, "layers", least),
          .kv_heads = number(file, "kv_heads", least),
          .head_dim = number(file, "head_dim", least),
          .dtype = *known};
}

// Absent in files of models without windows.
std::int64_t read_held_from(const containers::SafeTensors& file, std::size_t tokens) {
  if (text_or_none(file, "held_from").empty()) return 0;
  const std::int64_t first = number(file, "held_from");
  if (first % kernels::kBlockTokens != 0 || first > static_cast<std::int64_t>(tokens)) {
    fail_file(file, "metadata 'held_from' is no beginning of a block of this text", {}, std::to_string(first));
  }
  return first;
}

// "1024, 1030", of a text of 1030 tokens.
std::vector<std::int64_t> read_snapshots(const containers::SafeTensors& file, std::size_t tokens) {
  std::vector<std::int64_t> all;
  if (!has_states(file)) return all;
  const std::string& given = text(file, "snapshots");
  const char *at = given.data(), *end = at + given.size();
  while (true) {
    std::int64_t value = 0;
    const auto [behind, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value <= (all.empty() ? 0 : all.back())) break;
    all.push_back(value), at = behind;
    if (end - at < 3 || at[0] != ',' || at[1] != ' ') break;
    at += 2;
  }
  if (at != end || all.empty() || all.back() != static_cast<std::int64_t>(tokens)) {
    fail_file(file, "metadata 'snapshots' does not say after which tokens there are states",
              fmt::format("ascending numbers of which the last is {}", tokens), given);
  }
  return all;
}

std::int64_t blocks_of(std::int64_t tokens) { return (tokens + kernels::kBlockTokens - 1) / kernels::kBlockTokens; }

// [blocks, layers, keys and values, elements]
std::array<std::int64_t, 4> blocks_shape(const PastShape& s, std::size_t tokens) {
  return {blocks_of(static_cast<std::int64_t>(tokens)), s.layers, 2,
          static_cast<std::int64_t>(s.part_bytes() / size_of(s.dtype))};
}

// Blocks of a past as a tensor that is made while it is written.
containers::Planned planned_blocks(const Past& past) {
  const auto shape = blocks_shape(past.shape(), past.ids().size());
  const auto write = [&past, count = static_cast<std::size_t>(shape[0])](const containers::Sink& sink) {
    std::vector<std::byte> block(past.shape().block_bytes());
    for (std::size_t i = 0; i < count; ++i) {
      past.download(i, block);
      sink(block);
    }
  };
  return {.name = "blocks", .dtype = past.shape().dtype, .shape = {shape.begin(), shape.end()}, .write = write};
}

containers::Planned planned_states(const Past& past, const std::vector<std::int64_t>& snapshots) {
  const std::size_t bytes = past.shape().state_bytes();
  const auto write = [&past, &snapshots, bytes](const containers::Sink& sink) {
    std::vector<std::byte> state(bytes);
    for (const std::int64_t tokens : snapshots) {
      past.download_state(tokens, state);
      sink(state);
    }
  };
  return {.name = "states",
          .dtype = DType::f32,
          .shape = {std::ssize(snapshots), static_cast<std::int64_t>(bytes / sizeof(float))},
          .write = write};
}

template <class T>
containers::Planned planned(std::string name, DType dtype, const std::vector<T>& values) {
  const auto write = [&values](const containers::Sink& sink) { sink(std::as_bytes(std::span(values))); };
  return {.name = std::move(name), .dtype = dtype, .shape = {std::ssize(values)}, .write = write};
}

Metadata metadata_of(const Model& model, const PastFileOptions& options, const PastShape& shape) {
  const PastIdentity identity = identity_of(model, options);
  Metadata m{{"schema", std::string(kSchema)},
             {"model", model.source().name()},
             {"config", identity.config},
             {"weights", identity.weights},
             {"format", identity.format},
             {"past_dtype", identity.past_dtype},
             {"tokenizer", identity.tokenizer},
             {"backend", identity.backend},
             {"numerics", identity.numerics},
             {"operations", identity.operations},
             {"layers", std::to_string(shape.layers)},
             {"kv_heads", std::to_string(shape.kv_heads)},
             {"head_dim", std::to_string(shape.head_dim)},
             {"block_tokens", std::to_string(kernels::kBlockTokens)}};
  if (std::string state = weights_state(model.source()); !state.empty()) m["weights_files"] = std::move(state);
  return m;
}

}  // namespace

std::uint64_t SavedPast::file_bytes() const { return file.get("ids").file->bytes().size(); }

SavedPast read_past(containers::SafeTensors file) {
  const PastShape shape = read_shape(file);
  require_known_metadata(file);
  std::vector<std::int32_t> ids = read_ids(file);
  const std::int64_t held_from = read_held_from(file, ids.size());
  auto blocks = blocks_shape(shape, ids.size());
  if (shape.block_bytes() == 0) blocks[0] = 0;
  std::vector<std::int64_t> snapshots = read_snapshots(file, ids.size());
  std::size_t count = 2;
  const auto data_of = [&](const std::string& name, DType dtype, std::span<const std::int64_t> wanted) {
    const containers::Tensor& data = tensor(file, name, dtype, wanted);
    if (reinterpret_cast<std::uintptr_t>(data.data.data()) % 64 != 0) {
      fail_file(file, fmt::format("tensor '{}' does not begin at a multiple of 64 bytes in the file", name));
    }
    ++count;
    return data.data;
  };
  std::span<const std::byte> data, states;
  if (blocks[0] > 0) data = data_of("blocks", shape.dtype, blocks);
  if (!snapshots.empty()) {
    const containers::Tensor& stored = file.get("states");
    const std::int64_t floats = stored.shape.size() == 2 ? stored.shape[1] : 0;
    states = data_of("states", DType::f32, std::array{std::ssize(snapshots), floats});
    if (floats == 0 || floats % 16 != 0) fail_file(file, "not a saved past: tensor 'states' has the wrong form");
  }
  const containers::Tensor& sums = tensor(file, "checksums", DType::u64, std::array{blocks[0] + std::ssize(snapshots)});
  if (file.tensors().size() + file.unreadable().size() != count) {
    fail_file(file, has_states(file) ? "not a saved past: tensors beside 'ids', 'checksums', 'states' and 'blocks'"
                                     : "not a saved past: tensors beside 'ids', 'checksums' and 'blocks'");
  }
  std::vector<std::uint64_t> checksums(sums.data.size() / sizeof(std::uint64_t));
  std::memcpy(checksums.data(), sums.data.data(), sums.data.size());
  hf::Config::parse(text(file, "config"), file.path().string() + ": metadata 'config'");  // or refused
  std::string weights_files = text_or_none(file, "weights_files"), model = text(file, "model");
  PastIdentity identity{.config = text(file, "config"),
                        .weights = text(file, "weights"),
                        .format = text(file, "format"),
                        .past_dtype = text(file, "past_dtype"),
                        .tokenizer = text(file, "tokenizer"),
                        .backend = text(file, "backend"),
                        .numerics = text(file, "numerics"),
                        .operations = text_or_none(file, "operations")};
  std::string states_are = text_or_none(file, "states");
  return {.file = std::move(file),
          .model = std::move(model),
          .identity = std::move(identity),
          .weights_files = std::move(weights_files),
          .shape = shape,
          .states = std::move(states_are),
          .held_from = held_from,
          .ids = std::move(ids),
          .snapshots = std::move(snapshots),
          .checksums = std::move(checksums),
          .blocks = data,
          .state_data = states};
}

SavedPast open_past(const std::filesystem::path& path) {
  SavedPast saved = read_past(containers::SafeTensors::open(path));
  const std::string found =
      header_checksum(saved.file.metadata(), saved.file.get("ids").data, saved.file.get("checksums").data);
  if (found != text(saved.file, "checksum")) {
    fail_file(saved.file, "is damaged: the checksum of what it says of itself is wrong", text(saved.file, "checksum"),
              found);
  }
  return saved;
}

std::string states_text(const PastShape& shape) {
  std::string all;
  for (std::size_t i = 0; i < shape.states.size();) {
    const StateShape& s = shape.states[i];
    std::size_t next = i;
    while (next < shape.states.size() && shape.states[next] == s) ++next;
    all += fmt::format("{}{}x{}", all.empty() ? "" : ", ", s.inputs, s.channels);
    if (s.heads > 0) all += fmt::format(" and {} of {}x{}", s.heads, s.keys, s.values);
    all += fmt::format(" in {}", next - i);
    i = next;
  }
  return all;
}

void verify_blocks(const SavedPast& saved, std::int64_t tokens, int threads) {
  const std::size_t size = saved.shape.block_bytes();
  const std::int64_t in_file = size == 0 ? 0 : blocks_of(std::ssize(saved.ids));
  const std::int64_t blocks = size == 0 ? 0 : blocks_of(tokens);
  const std::size_t state = saved.snapshots.empty() ? 0 : saved.state_data.size() / saved.snapshots.size();
  const std::int64_t count =
      blocks + std::ranges::count_if(saved.snapshots, [&](std::int64_t after) { return after <= tokens; });
  const auto sum_of = [&](std::int64_t i) {
    if (i < blocks) return checksum(saved.blocks.subspan(static_cast<std::size_t>(i) * size, size));
    return checksum(saved.state_data.subspan(static_cast<std::size_t>(i - blocks) * state, state));
  };
  const auto said = [&](std::int64_t i) {
    return saved.checksums[static_cast<std::size_t>(i < blocks ? i : in_file + i - blocks)];
  };
  saved.file.get("ids").file->will_read(saved.blocks.first(static_cast<std::size_t>(blocks) * size));
  std::atomic<std::int64_t> first = count;
  const auto check = [&](std::int64_t i) noexcept {
    if (sum_of(i) == said(i)) return;
    std::int64_t least = first.load();
    while (i < least && !first.compare_exchange_weak(least, i)) {
    }
  };
  // No more threads than there are blocks for, and none for a few small ones, which take less time than starting one.
  constexpr std::size_t kWorthAThread = std::size_t{4} << 20;
  const std::int64_t most =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(count * std::max(size, state) / kWorthAThread));
  const std::int64_t wanted = threads > 0 ? threads : physical_cores();
  WorkerPool(static_cast<int>(std::min({wanted, most, std::max<std::int64_t>(1, count)}))).parallel_for(count, check);
  if (first == count) return;
  const std::int64_t from = first * kernels::kBlockTokens;
  const std::string what =
      first < blocks
          ? fmt::format("block {} (tokens {} to {})", first.load(), from,
                        std::min(from + kernels::kBlockTokens, std::ssize(saved.ids)) - 1)
          : fmt::format("the state after {} tokens", saved.snapshots[static_cast<std::size_t>(first - blocks)]);
  fail_file(saved.file, fmt::format("is damaged: the checksum of {} is wrong", what),
            fmt::format("{:016x}", said(first)), fmt::format("{:016x}", sum_of(first)));
}

Restored restore_past(const std::filesystem::path& path, const Model& model, std::span<const std::int32_t> prompt,
                      const PastFileOptions& options) {
  require_savable(model);
  if (prompt.empty()) fail_usage({.what = "no tokens to continue with", .expected = "at least one token"});
  SavedPast saved = open_past(path);
  require_fit(saved, model, options);
  const auto parting = std::ranges::mismatch(saved.ids, prompt);
  const std::int64_t common = parting.in1 - saved.ids.begin();
  if (common == 0) {
    fail_load({.what = "the saved past is of another text",
               .where = path.string(),
               .expected = fmt::format("a text that begins with token {}, as the prompt does", prompt.front()),
               .found = fmt::format("token {}", saved.ids.front())});
  }
  const std::int64_t used = std::min(common, std::ssize(prompt) - 1);
  if (options.verify_blocks) verify_blocks(saved, used, options.threads);
  std::shared_ptr<const MappedFile> owner = saved.file.get("ids").file;
  const std::int64_t total = std::ssize(saved.ids);
  const Past::Borrowed from{
      .blocks = saved.blocks, .held_from = saved.held_from, .states = saved.state_data, .snapshots = saved.snapshots};
  Past past = Past::borrow(model.backend(), model.past_shape(), std::move(saved.ids), from, std::move(owner),
                           model.snapshot_rule());
  past.truncate(used);
  return {.past = std::move(past), .saved = total, .common = common};
}

void save_past(const std::filesystem::path& path, const Model& model, const Past& past,
               const PastFileOptions& options) {
  require_savable(model);
  if (past.shape() != model.past_shape()) fail_usage({.what = "the past to save is not one of this model"});
  if (past.length() == 0) fail_usage({.what = "an empty past cannot be saved", .expected = "at least one token"});
  if (past.must_feed_again()) {
    Past whole = model.new_past();
    feed_in_pieces(model, whole, past.ids());
    return save_past(path, model, whole, options);
  }
  const std::vector<std::int64_t> ids(past.ids().begin(), past.ids().end());
  std::vector<std::int64_t> snapshots = past.snapshots();
  if (past.shape().states.empty()) {
    snapshots.clear();
  } else if (snapshots.empty() || snapshots.back() != past.length()) {
    snapshots.push_back(past.length());
  }
  std::vector<std::uint64_t> checksums;
  std::vector<containers::Planned> large;
  if (!snapshots.empty()) large.push_back(planned_states(past, snapshots));
  // As they lie in the file: blocks last, states before them. Their checksums are the other way round.
  if (past.shape().block_bytes() > 0) large.push_back(planned_blocks(past));
  std::int64_t size = 0;
  for (auto at = large.rbegin(); at != large.rend(); ++at) {
    at->write([&](std::span<const std::byte> part) { checksums.push_back(checksum(part)); });
    size += static_cast<std::int64_t>(containers::bytes_of(*at));
  }
  std::int64_t done = 0;
  PastFileOptions hashing = options;
  hashing.progress = [&](std::int64_t hashed, std::int64_t total) {
    done = hashed;
    if (options.progress) options.progress(hashed, total + size);
  };
  Metadata metadata = metadata_of(model, hashing, past.shape());
  if (past.held_from() > 0) metadata["held_from"] = std::to_string(past.held_from());
  if (!snapshots.empty()) {
    metadata["schema"] = kWithStates;
    metadata["states"] = states_text(past.shape());
    metadata["snapshots"] = fmt::format("{}", fmt::join(snapshots, ", "));
  }
  metadata["checksum"] = header_checksum(metadata, std::as_bytes(std::span(ids)), std::as_bytes(std::span(checksums)));
  std::vector<containers::Planned> tensors{planned("ids", DType::i64, ids),
                                           planned("checksums", DType::u64, checksums)};
  tensors.insert(tensors.end(), large.begin(), large.end());
  const std::int64_t total = done + size;
  const auto wrote = [&](std::uint64_t bytes) {
    done = std::min(done + static_cast<std::int64_t>(bytes), total);  // ids and checksums are written too
    if (options.progress) options.progress(done, total);
  };
  containers::stream_safetensors(path, tensors, metadata, {.wrote = wrote, .align_last = kPage, .owner_only = true});
}

}  // namespace pkv::model
