// Model folders with random weights for benchmarks that bring their own: what the tensors hold does not matter, only
// that it is not zero. tools/make_synthetic.py writes better ones, of any family and size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pkv::bench {

// A temporary folder, removed with what is in it.
struct Folder {
  std::filesystem::path path;
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

struct Shape {
  std::int64_t layers = 12, hidden = 768, heads = 12, vocab = 50257, context = 1024;
};
void write_gpt2(const std::filesystem::path& folder, const Shape& shape);  // GPT-2 small by default

// `n` random ids, the same for each call.
std::vector<std::int32_t> text(std::int64_t n, std::int64_t vocab);

}  // namespace pkv::bench
