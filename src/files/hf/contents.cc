#include "files/hf/contents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "base/file.h"
#include "base/json.h"
#include "files/containers/pytorch.h"
#include "files/containers/safetensors.h"
#include "files/hf/index.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;

class Looking {
 public:
  Contents take() {
    std::ranges::sort(contents_.files);
    std::ranges::stable_sort(contents_.tensors, {}, &containers::Tensor::name);
    std::ranges::stable_sort(contents_.unreadable, {}, &containers::Unreadable::name);
    return std::move(contents_);
  }

  // config.json and all weights of the kind that is preferred, whatever an index says of them.
  void at_folder(const fs::path& path) {
    contents_.folder = true;
    if (fs::exists(path / "config.json")) {
      attempt([&] { contents_.config = std::make_unique<Config>(Config::open(path / "config.json")); });
    }
    for (const std::string_view extension : {".safetensors", ".bin"}) {
      std::error_code error;
      for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (at->path().extension().string() != extension || name == "training_args.bin") continue;
        attempt([&] { weights(at->path()); });
      }
      if (!contents_.files.empty()) return;
    }
  }

  void at_file(const fs::path& path) {
    const MappedFile file(path);
    const std::string_view text = file.text();
    if (text.starts_with("GGUF")) {
      gguf(text);
    } else if (is_json(text)) {
      json(path, text);
    } else {
      attempt([&] { weights(path); });
      if (contents_.kind.empty()) contents_.kind = "none that is known here";
    }
  }

 private:
  void attempt(const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& e) {
      contents_.faults.push_back(e);
    }
  }

  void add(const containers::TensorFile& file) {
    contents_.files.push_back(file.path());
    contents_.tensors.insert(contents_.tensors.end(), file.tensors().begin(), file.tensors().end());
    contents_.unreadable.insert(contents_.unreadable.end(), file.unreadable().begin(), file.unreadable().end());
    for (const containers::Other& other : file.others()) {
      contents_.said.emplace_back(other.name,
                                  other.value.empty() ? std::string(other.kind) : quote(other.value, kShown));
    }
  }

  static bool is_pytorch(const fs::path& path) {
    const MappedFile file(path);
    const std::string_view text = file.text();
    return text.starts_with("PK") || text.starts_with('\x80') || path.extension() == ".bin" ||
           (text.size() > kTarMark && text.substr(kTarMark).starts_with("ustar"));
  }

  void weights(const fs::path& path) {
    if (is_pytorch(path)) {
      contents_.kind = "PyTorch";
      return add(containers::open_pytorch(path));
    }
    const containers::SafeTensors file = containers::SafeTensors::open(path);
    contents_.kind = "safetensors";
    add(file);
    for (const auto& [key, value] : file.metadata())
      contents_.said.emplace_back(quote(key, kShown), quote(value, kShown));
  }

  static bool is_json(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    return first != text.npos && text[first] == '{';
  }

  void json(const fs::path& path, std::string_view text) {
    contents_.kind = "JSON";
    if (path.filename().string().ends_with(".index.json")) {
      const bool pytorch = path.filename().string().find(".bin") != std::string::npos;
      attempt([&] {
        const Index index = parse_index(text, path.string(), pytorch ? ".bin" : ".safetensors");
        contents_.kind = "an index of shards";
        contents_.said.emplace_back("tensors", std::to_string(index.entries.size()));
        for (const std::string& shard : index.shards) {
          contents_.said.emplace_back("shard",
                                      shard + (fs::exists(path.parent_path() / shard) ? "" : ", which is missing"));
        }
      });
      return;
    }
    constexpr std::size_t kMostConfig = Config::kMaxFile;
    attempt([&] {
      if (text.size() <= kMostConfig) contents_.config = std::make_unique<Config>(Config::parse(text, path.string()));
    });
  }

  // The first numbers of the header.
  void gguf(std::string_view text) {
    contents_.kind = "GGUF";
    constexpr std::size_t kHeader = 24;
    if (text.size() < kHeader) return;
    const auto number = [&](std::size_t at, std::size_t size) {
      std::uint64_t n = 0;
      std::memcpy(&n, text.data() + at, size);
      return std::to_string(n);
    };
    contents_.said = {{"version", number(4, 4)}, {"tensors", number(8, 8)}, {"keys", number(16, 8)}};
  }

  static constexpr std::size_t kShown = 60, kTarMark = 257;
  Contents contents_;
};

}  // namespace

std::int64_t Contents::parameters() const {
  std::int64_t sum = 0;
  const auto count = [&](const std::vector<std::int64_t>& shape) {
    std::int64_t n = 1;
    for (const std::int64_t dim : shape) {
      if (__builtin_mul_overflow(n, dim, &n)) return;
    }
    sum += n;
  };
  for (const containers::Tensor& t : tensors) count(t.shape);
  for (const containers::Unreadable& t : unreadable) count(t.shape);
  return sum;
}

std::uint64_t Contents::bytes() const {
  std::uint64_t sum = 0;
  for (const containers::Tensor& t : tensors) sum += t.data.size();
  for (const containers::Unreadable& t : unreadable) sum += t.bytes;
  return sum;
}

Contents contents_of(const fs::path& path) {
  if (!is_present(path)) fail_load({.what = "no such file or folder", .where = path.string()});
  Looking looking;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    looking.at_folder(path);
  } else {
    looking.at_file(path);
  }
  return looking.take();
}

}  // namespace pkv::hf
