// A 4-bit or int8 matrix as bitsandbytes stores it: any JSON as its state, any tensors as its parts. It is refused with
// a load error, or its codes and scales have the sizes that decoding takes for granted, and every element decodes.
//
// Input: 2 bytes out and in; then for each part in the order of kParts: a byte of dtype and presence, 2 bytes of
// length, that many bytes.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "engine/model/checkpoint.h"

namespace {

using pkv::DType;

constexpr std::array kParts{"w.weight.quant_state.bitsandbytes__nf4",
                            "w.weight.quant_state.bitsandbytes__fp4",
                            "w.weight",
                            "w.weight.absmax",
                            "w.weight.quant_map",
                            "w.weight.nested_absmax",
                            "w.weight.nested_quant_map",
                            "w.SCB",
                            "w.weight_format"};
constexpr std::array kDTypes{DType::u8, DType::f32, DType::i8, DType::f16, DType::bf16};

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(std::as_bytes(bytes)) {}
  std::size_t number() {
    const auto bytes = take(1);
    return bytes.empty() ? 0 : static_cast<std::size_t>(bytes[0]);
  }
  std::span<const std::byte> take(std::size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::byte> rest_;
};

// One dimension, but for int8 codes: [out, in] when they are as many.
pkv::containers::Tensor tensor(const std::string& name, DType dtype, std::span<const std::byte> data, std::int64_t out,
                               std::int64_t in) {
  static const auto file = std::make_shared<const pkv::MappedFile>("/proc/self/exe");
  const std::size_t size = pkv::size_of(dtype);
  const auto count = static_cast<std::int64_t>(data.size() / size);
  const bool matrix = dtype == DType::i8 && count == out * in;
  return {.name = name,
          .dtype = dtype,
          .shape = matrix ? std::vector{out, in} : std::vector{count},
          .data = data.first(static_cast<std::size_t>(count) * size),
          .file = file};
}

void decode_all(const pkv::quant::Matrix& m) {
  std::vector<float> row(static_cast<std::size_t>(m.in));
  for (std::int64_t r = 0; r < m.out; ++r) pkv::quant::decode(m, r, 0, row);
}

void check(pkv::model::StoredMatrix stored, std::int64_t out, std::int64_t in) {
  pkv::quant::Matrix& m = stored.matrix;
  if (m.out != out || m.in != in || m.codes.bytes() != m.code_bytes()) std::abort();
  if (stored.nested) {
    if (stored.scales.size() != static_cast<std::size_t>(m.blocks())) std::abort();
    m.scales = pkv::View(stored.scales.data(), DType::f32, {m.blocks()});
  }
  if (m.scales.bytes() != m.scale_bytes()) std::abort();
  // The file's scales may lie anywhere; what loads them copies those that are not aligned.
  std::vector<float> aligned(static_cast<std::size_t>(m.scale_count()));
  if (!aligned.empty()) std::memcpy(aligned.data(), m.scales.data, m.scale_bytes());
  m.scales.data = aligned.data();
  decode_all(m);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  Input input({bytes, size});
  const auto out = static_cast<std::int64_t>(input.number()), in = static_cast<std::int64_t>(input.number());
  std::map<std::string, pkv::containers::Tensor> tensors;
  for (const char* name : kParts) {
    const std::size_t kind = input.number();
    if (kind == 0) continue;
    std::size_t length = input.number();
    length += 256 * input.number();
    tensors.emplace(name, tensor(name, kDTypes[kind % kDTypes.size()], input.take(length), out, in));
  }
  const auto find = [&](const std::string& name) {
    const auto at = tensors.find(name);
    return at == tensors.end() ? nullptr : &at->second;
  };
  try {
    auto stored = pkv::model::stored_matrix(find, "w.weight", out, in);
    if (stored) check(*std::move(stored), out, in);
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
  return 0;
}
