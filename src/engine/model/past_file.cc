#include "engine/model/past_file.h"

#include <fmt/format.h>

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
constexpr std::uint64_t kPage = 4096;  // blocks begin at one, so that a mapped file has them aligned
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

std::int64_t number(const containers::SafeTensors& file, const std::string& key) {
  const std::string& given = text(file, key);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc() || end != given.data() + given.size() || value < 1 || value > kMostOfAShape) {
    fail_file(file, fmt::format("metadata '{}' is no size", key), fmt::format("1 to {}", kMostOfAShape), given);
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

// What is not known may change what the blocks mean.
void require_known_metadata(const containers::SafeTensors& file) {
  static constexpr std::array<std::string_view, 17> kKnown{
      "backend",    "block_tokens", "checksum",  "config",  "format",       "head_dim",
      "held_from",  "kv_heads",     "layers",    "model",   "numerics",     "operations",
      "past_dtype", "schema",       "tokenizer", "weights", "weights_files"};
  for (const auto& [key, value] : file.metadata()) {
    if (std::ranges::count(kKnown, key) != 0) continue;
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
  if (text(file, "schema") != kSchema) {
    fail_file(file, "not a saved past of this version", std::string(kSchema), text(file, "schema"));
  }
  if (number(file, "block_tokens") != kernels::kBlockTokens) {
    fail_file(file, "blocks hold another number of tokens", std::to_string(kernels::kBlockTokens),
              text(file, "block_tokens"));
  }
  const std::string& dtype = text(file, "past_dtype");
  const auto known = from_name(dtype);
  if (!known || !is_float(*known)) fail_file(file, "pasts cannot have this number format", "fp32, fp16 or bf16", dtype);
  return {.layers = number(file, "layers"),
          .kv_heads = number(file, "kv_heads"),
          .head_dim = number(file, "head_dim"),
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
  const auto blocks = blocks_shape(shape, ids.size());
  const containers::Tensor& data = tensor(file, "blocks", shape.dtype, blocks);
  const containers::Tensor& sums = tensor(file, "checksums", DType::u64, {blocks.data(), 1});
  if (file.tensors().size() + file.unreadable().size() != 3) {
    fail_file(file, "not a saved past: tensors beside 'ids', 'checksums' and 'blocks'");
  }
  if (reinterpret_cast<std::uintptr_t>(data.data.data()) % 64 != 0) {
    fail_file(file, "tensor 'blocks' does not begin at a multiple of 64 bytes in the file");
  }
  std::vector<std::uint64_t> checksums(static_cast<std::size_t>(blocks[0]));
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
  const std::span<const std::byte> bytes = data.data;  // `data` moves with the file
  return {.file = std::move(file),
          .model = std::move(model),
          .identity = std::move(identity),
          .weights_files = std::move(weights_files),
          .shape = shape,
          .held_from = held_from,
          .ids = std::move(ids),
          .checksums = std::move(checksums),
          .blocks = bytes};
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

void verify_blocks(const SavedPast& saved, std::int64_t tokens, int threads) {
  const std::size_t size = saved.shape.block_bytes();
  const auto sum_of = [&](std::int64_t i) {
    return checksum(saved.blocks.subspan(static_cast<std::size_t>(i) * size, size));
  };
  const std::int64_t count = blocks_of(tokens);
  saved.file.get("blocks").file->will_read(saved.blocks.first(static_cast<std::size_t>(count) * size));
  std::atomic<std::int64_t> first = count;
  const auto check = [&](std::int64_t i) noexcept {
    if (sum_of(i) == saved.checksums[static_cast<std::size_t>(i)]) return;
    std::int64_t least = first.load();
    while (i < least && !first.compare_exchange_weak(least, i)) {
    }
  };
  // No more threads than there are blocks for, and none for a few small ones, which take less time than starting one.
  constexpr std::size_t kWorthAThread = std::size_t{4} << 20;
  const std::int64_t most = std::max<std::int64_t>(1, static_cast<std::int64_t>(count * size / kWorthAThread));
  const std::int64_t wanted = threads > 0 ? threads : physical_cores();
  WorkerPool(static_cast<int>(std::min({wanted, most, std::max<std::int64_t>(1, count)}))).parallel_for(count, check);
  if (first == count) return;
  const std::int64_t from = first * kernels::kBlockTokens;
  fail_file(saved.file,
            fmt::format("is damaged: the checksum of block {} (tokens {} to {}) is wrong", first.load(), from,
                        std::min(from + kernels::kBlockTokens, std::ssize(saved.ids)) - 1),
            fmt::format("{:016x}", saved.checksums[static_cast<std::size_t>(first.load())]),
            fmt::format("{:016x}", sum_of(first)));
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
  std::shared_ptr<const MappedFile> owner = saved.file.get("blocks").file;
  const std::int64_t total = std::ssize(saved.ids);
  Past past = Past::borrow(model.backend(), model.past_shape(), std::move(saved.ids), saved.blocks, std::move(owner),
                           saved.held_from);
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
  const containers::Planned blocks = planned_blocks(past);
  std::vector<std::uint64_t> checksums;
  blocks.write([&](std::span<const std::byte> block) { checksums.push_back(checksum(block)); });
  const auto size = static_cast<std::int64_t>(containers::bytes_of(blocks));
  std::int64_t done = 0;
  PastFileOptions hashing = options;
  hashing.progress = [&](std::int64_t hashed, std::int64_t total) {
    done = hashed;
    if (options.progress) options.progress(hashed, total + size);
  };
  Metadata metadata = metadata_of(model, hashing, past.shape());
  if (past.held_from() > 0) metadata["held_from"] = std::to_string(past.held_from());
  metadata["checksum"] = header_checksum(metadata, std::as_bytes(std::span(ids)), std::as_bytes(std::span(checksums)));
  const std::array<containers::Planned, 3> tensors{planned("ids", DType::i64, ids),
                                                   planned("checksums", DType::u64, checksums), blocks};
  const std::int64_t total = done + size;
  const auto wrote = [&](std::uint64_t bytes) {
    done = std::min(done + static_cast<std::int64_t>(bytes), total);  // ids and checksums are written too
    if (options.progress) options.progress(done, total);
  };
  containers::stream_safetensors(path, tensors, metadata, {.wrote = wrote, .align_last = kPage, .owner_only = true});
}

}  // namespace pkv::model
