// Saved pasts: a past in a file, for another run to continue from. What continues from one gets the same bits as what
// never stopped; so a file says what it depends on (weights, config, tokenizer, number formats, the arithmetic), and
// one that does not fit is refused.
//
//   model::save_past("p.safetensors", m, past);
//   model::Restored r = model::restore_past("p.safetensors", m, ids);   // ids: the whole prompt
//   // r.past holds the first r.past.length() of ids; feed the rest
//
// Blocks are used in place, from the mapped file, which nobody may write into meanwhile (tensor_file.h). The format is
// described in docs/pasts.md. Whoever can read the file can read the text: it is written with mode 0600.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/model/model.h"

namespace pkv::model {

// What a saved past depends on. Texts, for they are shown when they differ.
struct PastIdentity {
  std::string config;      // config.json, in one line with its keys sorted
  std::string weights;     // hash of the names, shapes, dtypes and content of the folder's tensors
  std::string format;      // of the weights in memory: "nf4 in blocks of 64, the rest fp16"
  std::string past_dtype;  // "fp16"
  std::string tokenizer;   // hash of its files; "none"
  std::string backend;     // "cpu (AVX2)": other instruction sets add up in another order
  std::string numerics;    // version of the arithmetic, and a hash of what all operations of the first one give
  std::string operations;  // what those give that the model uses: "norm 0123456789abcdef, ..."; older files: empty
};

// The operations that the arithmetic depends on, without their hashes: "attend fp16", "norm".
std::vector<std::string> operation_names(const PastIdentity& identity);

// A file whose header was read and checked, and nothing of whose blocks was read.
struct SavedPast {
  containers::SafeTensors file;
  std::string model;  // what it was called: hf::display_name
  PastIdentity identity;
  std::string weights_files;   // state of the weights' files when they were hashed; empty: not kept
  PastShape shape;             // without its windows and states, which the model knows
  std::string states{};        // of the layers that keep one, as states_text has it; empty: none
  std::int64_t held_from = 0;  // layers that see a window are there from this token on
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> snapshots{};    // after how many tokens there is a state, ascending; the last: after all
  std::vector<std::uint64_t> checksums;     // of each block, then of each state
  std::span<const std::byte> blocks;        // [blocks of the ids, shape.block_bytes()], aligned to 64
  std::span<const std::byte> state_data{};  // [snapshots.size(), bytes of a state], aligned to 64

  std::size_t block_count() const { return checksums.size() - snapshots.size(); }
  std::uint64_t file_bytes() const;
};

// "2x64 in 10 layers, 3x96 and 4 of 8x16 in 2": inputs x channels of convolutions, heads of keys x values.
std::string states_text(const PastShape& shape);

// Error::load for a file that is damaged anywhere but in its blocks, or is no saved past.
SavedPast open_past(const std::filesystem::path& path);
// The same but for the header's checksum, of a file that is open already.
SavedPast read_past(containers::SafeTensors file);

// Error::load, naming the first damaged block or state, when one of those of the first `tokens` does not have its
// checksum.
// `threads` 0: one per core.
void verify_blocks(const SavedPast& saved, std::int64_t tokens, int threads = 0);

struct PastFileOptions {
  int threads = 0;            // for hashing; 0: one per core
  bool verify_blocks = true;  // those that are used; false: damage to them goes unseen
  bool hash_weights = false;  // hash the weights even if their files are as they were when the past was saved
  Progress progress{};        // in bytes of weights hashed; when saving, and of keys and values written. May throw
};

// Error::load, with both values, when the past was saved by another model, in other formats or by other arithmetic.
void require_fit(const SavedPast& saved, const Model& model, const PastFileOptions& options = {});

struct Restored {
  Past past;                // of the first tokens of the prompt
  std::int64_t saved = 0;   // tokens in the file
  std::int64_t common = 0;  // tokens that prompt and file begin with; past.length() is at most one less than the prompt
};

// The past of the longest beginning that `prompt` and the saved text share, but for the prompt's last token: feeding it
// gives the logits. Error::load when the file does not fit the model or shares not one token with the prompt;
// Error::usage for an empty prompt and a model whose pasts cannot be saved.
Restored restore_past(const std::filesystem::path& path, const Model& model, std::span<const std::int32_t> prompt,
                      const PastFileOptions& options = {});

// Written beside its place and renamed, mode 0600; nothing is left when `progress` throws. Error::load when it cannot
// be written; Error::usage for an empty past, a past of another model, and a model whose pasts cannot be saved: one
// that attends both ways, and int8 with outliers of the call.
void save_past(const std::filesystem::path& path, const Model& model, const Past& past,
               const PastFileOptions& options = {});
void require_savable(const Model& model);

}  // namespace pkv::model
