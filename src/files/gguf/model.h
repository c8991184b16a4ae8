// A model in one GGUF file, or in the several that llama-gguf-split makes of it: NAME-00001-of-00003.gguf and so on,
// each with a header of its own, the first with the model's metadata. Any of their names will do to open it.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/gguf/container.h"

namespace pkv::gguf {

// Whether there is a file of that name, and it begins as GGUF files do or is called as they are.
bool is_gguf_file(const std::filesystem::path& path);

// The models among the files of a folder, by their names: of one in parts the first; no image encoders (mmproj), no
// importance matrices. Sorted.
std::vector<std::string> models_among(std::span<const std::string> names);

// The parts of the model that one of the names is, in their order, each whether or not it is among the names; the name
// alone where it is no part's. Empty when the name itself is not among them.
std::vector<std::string> parts_among(std::span<const std::string> names, const std::string& name);

class Model {
 public:
  static constexpr std::int64_t kMostParts = 99999;

  // Error::load for a part that is missing, is another's, or holds a tensor that another holds too.
  static Model open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return parts_.front().path(); }  // of the first part
  const Metadata& metadata() const { return parts_.front().metadata(); }
  std::span<const Container> parts() const { return parts_; }

  struct Found {
    const Info* info = nullptr;
    const Container* part = nullptr;

    explicit operator bool() const { return info != nullptr; }
    std::span<const std::byte> data() const { return part->data_of(*info); }
  };
  std::span<const Found> tensors() const { return tensors_; }  // of all parts, sorted by name
  Found find(std::string_view name) const;
  bool has(std::string_view name) const { return static_cast<bool>(find(name)); }

 private:
  explicit Model(std::vector<Container> parts);

  std::vector<Container> parts_;
  std::vector<Found> tensors_;
};

}  // namespace pkv::gguf
