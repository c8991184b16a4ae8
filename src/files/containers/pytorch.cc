#include "files/containers/pytorch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "files/containers/state_dict.h"
#include "files/containers/zip.h"

namespace pkv::containers {
namespace {

constexpr std::string_view kSaveAgain =
    "load it with transformers and save it again: from_pretrained(FOLDER).save_pretrained(FOLDER) writes safetensors";

// What torch.save wrote before version 1.6: a pickled number, or an archive of tar.
void refuse_old(std::string_view bytes, std::string_view file) {
  constexpr std::string_view kMagicNumber("\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 13);
  constexpr std::size_t kTarMark = 257;
  const bool pickled = bytes.size() > 2 && bytes[0] == '\x80' && bytes.substr(2).starts_with(kMagicNumber);
  const bool tar = bytes.size() > kTarMark && bytes.substr(kTarMark).starts_with("ustar");
  if (!pickled && !tar) return;
  fail_load({.what = "is a PyTorch file of the old kind, from before version 1.6",
             .where = std::string(file),
             .expected = "a zip archive, as torch.save writes it since",
             .found = pickled ? "a sequence of pickles" : "an archive of tar",
             .hint = std::string(kSaveAgain)});
}

// The entries below the archive's one folder.
class Archive {
 public:
  Archive(std::span<const std::byte> bytes, std::string_view file) : entries_(read_zip(bytes, file)), file_(file) {
    constexpr std::string_view kPickle = "/data.pkl";
    for (const ZipEntry& e : entries_) {
      const std::size_t slash = e.name.find('/');
      if (slash == std::string::npos || std::string_view(e.name).substr(slash) != kPickle) continue;
      if (!root_.empty()) refuse("has more than one data.pkl", "one", quote(e.name));
      root_ = e.name.substr(0, slash + 1);
    }
    if (root_.empty()) {
      refuse("is a zip archive, but not one of PyTorch's", "an entry NAME/data.pkl",
             entries_.empty() ? "no entries" : quote(entries_.front().name));
    }
    if (find("constants.pkl") != nullptr) {
      refuse("is a TorchScript program, not a state dict", {}, {}, "save model.state_dict() instead");
    }
    check_version();
    check_byte_order();
  }

  const ZipEntry* find(std::string_view name) const {
    const std::string whole = root_ + std::string(name);
    const auto at = std::ranges::lower_bound(entries_, whole, {}, &ZipEntry::name);
    return at != entries_.end() && at->name == whole ? &*at : nullptr;
  }

  std::string place(std::string_view name) const { return fmt::format("{}: {}{}", file_, root_, name); }

  // Entries that are neither in `used` nor about the archive itself.
  std::vector<std::string_view> beside(const std::set<const ZipEntry*>& used) const {
    static constexpr std::array<std::string_view, 6> kKnown{
        "data.pkl", "version", "byteorder", ".format_version", ".storage_alignment", ".data/"};
    std::vector<std::string_view> names;
    for (const ZipEntry& e : entries_) {
      std::string_view name = e.name;
      if (name.ends_with('/')) continue;  // a folder
      if (name.starts_with(root_)) name.remove_prefix(root_.size());
      const bool known = std::ranges::any_of(kKnown, [&](std::string_view known_name) {
        return known_name.ends_with('/') ? name.starts_with(known_name) : name == known_name;
      });
      if (!known && !used.contains(&e)) names.push_back(e.name);
    }
    return names;
  }

 private:
  [[noreturn]] void refuse(std::string what, std::string expected = {}, std::string found = {},
                           std::string hint = {}) const {
    fail_load({.what = std::move(what),
               .where = std::string(file_),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = std::move(hint)});
  }

  void check_version() const {
    const ZipEntry* version = find(".data/version");
    if (version == nullptr) version = find("version");
    if (version == nullptr) refuse("has no version", fmt::format("an entry {}version", root_));
    std::string_view text = text_of(version->data);
    if (text.ends_with('\n')) text.remove_suffix(1);
    const bool known = text == "10" || (text.size() == 1 && text[0] >= '1' && text[0] <= '9');
    if (!known) refuse("version of the format is not supported", "1 to 10", quote(text, 20));
  }

  // Absent in files from before PyTorch 2.1, which are little-endian but for those of a few rare machines.
  void check_byte_order() const {
    const ZipEntry* order = find("byteorder");
    if (order == nullptr || text_of(order->data) == "little") return;
    refuse("data is not little-endian", "little", quote(text_of(order->data), 20), std::string(kSaveAgain));
  }

  std::vector<ZipEntry> entries_;
  std::string_view file_;
  std::string root_;  // "archive/"
};

using Entry = StateDict::Entry;

std::uint64_t bytes_of(const Entry& e) {
  std::uint64_t n = e.element_size;
  for (const std::int64_t dim : e.shape) n *= static_cast<std::uint64_t>(dim);
  return n;
}

// Row by row of the last dimension; `from` is the tensor's first element.
void copy_view(const Entry& e, const std::byte* from, std::byte* to) {
  const std::size_t rank = e.shape.size(), size = e.element_size;
  std::vector<std::int64_t> at(rank, 0);
  std::uint64_t offset = 0;  // wraps where the stride of a dimension of 1, which nobody checks, is large
  for (std::uint64_t left = bytes_of(e); left != 0; left -= size, to += size) {
    std::memcpy(to, from + offset * size, size);
    for (std::size_t i = rank; i-- > 0;) {
      offset += static_cast<std::uint64_t>(e.stride[i]);
      if (++at[i] < e.shape[i]) break;
      offset -= static_cast<std::uint64_t>(e.stride[i]) * static_cast<std::uint64_t>(e.shape[i]);
      at[i] = 0;
    }
  }
}

class Builder {
 public:
  Builder(std::span<const std::byte> bytes, std::string_view file)
      : archive_(bytes, file), file_(file), copies_left_(bytes.size()) {}

  PyTorchTensors build() {
    const ZipEntry* pickle = archive_.find("data.pkl");
    StateDict state = parse_state_dict(text_of(pickle->data), archive_.place("data.pkl"));
    for (Entry& e : state.entries) add(e);
    built_.others = std::move(state.others);
    const auto note = [&](const std::string& what) {
      built_.notes.push_back(fmt::format("{} holds {}", std::filesystem::path(file_).filename().string(), what));
    };
    std::ranges::for_each(state.notes, note);
    if (const auto beside = archive_.beside(used_); !beside.empty()) {
      note(fmt::format("entries of the archive that no tensor uses ({}; the first is {})", beside.size(),
                       quote(beside.front(), 60)));
    }
    return std::move(built_);
  }

 private:
  std::string place(const Entry& e) const { return fmt::format("{}: tensor {}", file_, quote(e.name)); }

  std::span<const std::byte> storage_of(const Entry& e) {
    const std::string name = fmt::format("data/{}", e.storage);
    const ZipEntry* storage = archive_.find(name);
    if (storage == nullptr) {
      fail_load({.what = "storage is missing", .where = place(e), .expected = archive_.place(name)});
    }
    if (storage->data.size() != e.storage_bytes) {
      fail_load({.what = "storage has another size than the pickle says",
                 .where = fmt::format("{}: {}", place(e), quote(storage->name)),
                 .expected = fmt::format("{} bytes", e.storage_bytes),
                 .found = fmt::format("{} bytes", storage->data.size())});
    }
    used_.insert(storage);
    return storage->data;
  }

  std::span<const std::byte> copied(const Entry& e, std::span<const std::byte> from) {
    const std::uint64_t size = bytes_of(e);
    if (size > copies_left_) {
      fail_load({.what = "tensors that are not dense would take more memory than the file",
                 .where = place(e),
                 .found = fmt::format("shape {}, stride {}", shape_text(e.shape), shape_text(e.stride)),
                 .hint = "save dense copies of them: tensor.contiguous()"});
    }
    copies_left_ -= size;
    built_.copies.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
    copy_view(e, from.data(), built_.copies.back().get());
    return {built_.copies.back().get(), size};
  }

  void add(Entry& e) {
    const std::span<const std::byte> storage = storage_of(e);
    const std::uint64_t size = bytes_of(e);
    if (!e.readable) {
      built_.unreadable.push_back({std::move(e.name), e.dtype, std::move(e.shape), size});
      return;
    }
    std::span<const std::byte> data;
    if (size != 0) data = storage.subspan(e.offset * e.element_size);
    data = e.dense() ? data.first(size) : copied(e, data);
    built_.tensors.push_back({std::move(e.name), *e.readable, std::move(e.shape), data});
  }

  Archive archive_;
  std::string_view file_;
  std::uint64_t copies_left_;
  std::set<const ZipEntry*> used_;
  PyTorchTensors built_;
};

}  // namespace

PyTorchTensors read_pytorch(std::span<const std::byte> bytes, std::string_view file) {
  refuse_old(text_of(bytes), file);
  return Builder(bytes, file).build();
}

TensorFile open_pytorch(const std::filesystem::path& path) {
  struct Opened {
    MappedFile file;
    std::vector<std::unique_ptr<std::byte[]>> copies;
  };
  const auto opened = std::make_shared<Opened>(Opened{MappedFile(path), {}});
  refuse_lfs_pointer(opened->file.text(), path);
  PyTorchTensors read = read_pytorch(opened->file.bytes(), path.string());
  opened->copies = std::move(read.copies);
  const std::shared_ptr<const MappedFile> file(opened, &opened->file);  // keeps the copies alive too
  for (Tensor& t : read.tensors) t.file = file;
  for (Unreadable& t : read.unreadable) t.file = file;
  return {path, std::move(read.tensors), std::move(read.unreadable), std::move(read.others), std::move(read.notes)};
}

}  // namespace pkv::containers
