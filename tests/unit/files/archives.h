// Zip archives and pickles made by hand, as torch.save writes them and as it never would.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv {

inline std::string little(std::uint64_t n, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i < sizeof n ? n >> (8 * i) & 0xff : 0);
  return bytes;
}

// Entries stored one after the other; what it writes about them can be falsified before `bytes`.
struct ZipMaker {
  struct Entry {
    std::string name, data;
    std::uint16_t method = 0, flags = 0;
    std::uint64_t size = 0, offset = 0;  // as the directory says
  };
  std::vector<Entry> entries;
  std::string body;
  bool zip64 = false;
  std::uint64_t count = 0;  // of entries, as the end says

  Entry& add(const std::string& name, const std::string& data, std::uint16_t method = 0, std::uint16_t flags = 0) {
    entries.push_back({name, data, method, flags, data.size(), body.size()});
    body += "PK\3\4" + little(10, 2) + little(flags, 2) + little(method, 2) + little(0, 8) + little(data.size(), 4) +
            little(data.size(), 4) + little(name.size(), 2) + little(0, 2) + name + data;
    ++count;
    return entries.back();
  }

  std::string bytes() const {
    std::string directory;
    for (const Entry& e : entries) {
      std::string extra;
      if (zip64) extra = little(1, 2) + little(24, 2) + little(e.size, 8) + little(e.size, 8) + little(e.offset, 8);
      const auto field = [&](std::uint64_t n) { return little(zip64 ? 0xffffffff : n, 4); };
      directory += "PK\1\2" + little(10, 2) + little(zip64 ? 45 : 10, 2) + little(e.flags, 2) + little(e.method, 2) +
                   little(0, 8) + field(e.size) + field(e.size) + little(e.name.size(), 2) + little(extra.size(), 2) +
                   little(0, 10) + field(e.offset) + e.name + extra;
    }
    const std::uint64_t at = body.size();
    std::string end;
    if (zip64) {
      end += "PK\6\6" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) + little(count, 8) +
             little(count, 8) + little(directory.size(), 8) + little(at, 8);
      end += "PK\6\7" + little(0, 4) + little(at + directory.size(), 8) + little(1, 4);
    }
    const auto field = [&](std::uint64_t n, std::size_t size) { return little(zip64 ? ~std::uint64_t{0} : n, size); };
    end += "PK\5\6" + little(0, 4) + field(count, 2) + field(count, 2) + field(directory.size(), 4) + field(at, 4) +
           little(0, 2);
    return body + directory + end;
  }
};

inline std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// Pickles, protocol 2.

inline std::string text_op(std::string_view text) { return "X" + little(text.size(), 4) + std::string(text); }
inline std::string global_op(std::string_view module, std::string_view name) {
  return fmt::format("c{}\n{}\n", module, name);
}
inline std::string number_op(std::uint64_t n) { return "\x8a\x08" + little(n, 8); }
inline std::string tuple_op(std::span<const std::uint64_t> numbers) {
  std::string ops = "(";
  for (const std::uint64_t n : numbers) ops += number_op(n);
  return ops + "t";
}
inline std::string pickle_of(std::string_view ops) { return "\x80\x02" + std::string(ops) + "."; }

inline const std::string kOrderedDictOp = global_op("collections", "OrderedDict") + ")R";

struct TensorOps {
  std::string storage_class = global_op("torch", "FloatStorage"), key = "0", device = "cpu";
  std::uint64_t elements = 6, offset = 0;
  std::vector<std::uint64_t> shape{2, 3}, stride{3, 1};
  std::string more = "\x89" + kOrderedDictOp;  // requires_grad, hooks
  std::string function = global_op("torch._utils", "_rebuild_tensor_v2");

  std::string ops() const {
    return function + "((" + text_op("storage") + storage_class + text_op(key) + text_op(device) + number_op(elements) +
           "tQ" + number_op(offset) + tuple_op(shape) + tuple_op(stride) + more + "tR";
  }
};

inline std::string state_ops(std::string_view name, std::string_view value) {
  return "}(" + text_op(name) + std::string(value) + "u";
}

}  // namespace pkv
