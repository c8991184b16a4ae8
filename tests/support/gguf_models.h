// A little Llama as a GGUF file, of random values, with a tokenizer of SentencePiece's kind: what tests change a key or
// a tensor of.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "support/gguf_bytes.h"

namespace pkv::support {

struct LittleLlama {
  static constexpr std::uint64_t kHidden = 64, kInner = 96, kHeads = 2;

  // Types by ggml's number: 0 F32, 8 Q8_0.
  std::uint32_t matrices = 0;
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u2581a", "ab", "<|im_end|>", "<|end|>"};
  std::vector<std::int32_t> kinds{2, 3, 3, 1, 1, 1, 1, 1, 3, 3};  // 1 normal, 2 unknown, 3 control
  std::function<void(GgufBytes&)> more = [](GgufBytes&) {};       // further keys

  std::string bytes() const {
    GgufBytes file;
    file.text("general.architecture", "llama");
    file.number("llama.block_count", 1u);
    file.number("llama.context_length", 128u);
    file.number("llama.embedding_length", static_cast<std::uint32_t>(kHidden));
    file.number("llama.feed_forward_length", static_cast<std::uint32_t>(kInner));
    file.number("llama.attention.head_count", static_cast<std::uint32_t>(kHeads));
    file.number("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    file.text("tokenizer.ggml.model", "llama");
    file.texts("tokenizer.ggml.tokens", tokens);
    std::vector<float> scores;
    for (std::size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));
    file.numbers("tokenizer.ggml.scores", 6, scores);
    file.numbers("tokenizer.ggml.token_type", 5, kinds);
    file.number("tokenizer.ggml.eos_token_id", 2u);
    file.number("tokenizer.ggml.unknown_token_id", 0u);
    more(file);
    std::mt19937 random(7);
    matrix(file, random, "token_embd.weight", tokens.size(), kHidden);
    vector(file, random, "output_norm.weight");
    for (const char* norm : {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) vector(file, random, norm);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      matrix(file, random, std::string("blk.0.") + name + ".weight", kHidden, kHidden);
    }
    matrix(file, random, "blk.0.ffn_gate.weight", kInner, kHidden);
    matrix(file, random, "blk.0.ffn_up.weight", kInner, kHidden);
    matrix(file, random, "blk.0.ffn_down.weight", kHidden, kInner);
    return file.bytes();
  }

 private:
  static float value(std::mt19937& random) { return (static_cast<float>(random() % 2001) - 1000) / 8000; }
  static void vector(GgufBytes& file, std::mt19937& random, const std::string& name) {
    std::string data;
    for (std::uint64_t i = 0; i < kHidden; ++i) data += little_endian(1 + value(random));
    file.tensor(name, 0, {kHidden}, data);
  }
  void matrix(GgufBytes& file, std::mt19937& random, const std::string& name, std::uint64_t rows,
              std::uint64_t columns) const {
    std::string data;
    for (std::uint64_t i = 0; i < rows * columns; ++i) {
      if (matrices == 0) {
        data += little_endian(value(random));
      } else {
        if (i % 32 == 0) data += little_endian<std::uint16_t>(0x1000);  // about 0.0005
        data += static_cast<char>(random() % 255);
      }
    }
    file.tensor(name, matrices, {columns, rows}, data);
  }
};

}  // namespace pkv::support
