// Logits in and out.
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "bind.h"
#include "engine/tensor/half.h"

namespace pkv::python {
namespace {

template <class T, class Widen>
void widen(const void* data, std::int64_t rows, std::int64_t columns, std::int64_t row_step, std::int64_t step,
           std::vector<float>& to, Widen of) {
  const T* from = static_cast<const T*>(data);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = from + r * row_step;
    for (std::int64_t c = 0; c < columns; ++c) to.push_back(of(row[c * step]));
  }
}

[[noreturn]] void refuse(const std::string& found) {
  fail_load({.what = "these are no logits",
             .expected = "an array [tokens, vocab] on the CPU in fp16, bf16, fp32 or fp64",
             .found = found,
             .hint = "a tensor's .detach().cpu(), or a NumPy array"});
}

}  // namespace

void add_rows(nb::handle given, session::Logits& to) {
  nb::ndarray<nb::ro> a;
  if (!nb::try_cast(given, a)) refuse(nb::cast<std::string>(nb::str(given.type())));
  if (a.device_type() != nb::device::cpu::value) refuse(fmt::format("an array on device {}", a.device_type()));
  const std::size_t first = a.ndim() == 3 && a.shape(0) == 1 ? 1 : 0;
  if (a.ndim() - first != 2) refuse(fmt::format("an array of {} dimensions", a.ndim()));
  const auto rows = static_cast<std::int64_t>(a.shape(first)), columns = static_cast<std::int64_t>(a.shape(first + 1));
  const std::int64_t row_step = a.stride(first), step = a.stride(first + 1);
  if (to.vocab == 0) to.vocab = columns;
  if (to.vocab != columns) {
    fail_load({.what = "logits of another width than before",
               .expected = fmt::format("{}", to.vocab),
               .found = fmt::format("{}", columns)});
  }
  const auto type = a.dtype();
  constexpr auto real = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
  constexpr auto bfloat = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat);
  const auto all = [&](auto zero, auto of) {
    widen<decltype(zero)>(a.data(), rows, columns, row_step, step, to.values, of);
  };
  to.values.reserve(to.values.size() + static_cast<std::size_t>(rows * columns));
  if (type.code == real && type.bits == 32) {
    if (step == 1) {
      const float* from = static_cast<const float*>(a.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        to.values.insert(to.values.end(), from + r * row_step, from + r * row_step + columns);
      }
    } else {
      all(float{}, [](float x) { return x; });
    }
  } else if (type.code == real && type.bits == 64) {
    all(double{}, [](double x) { return static_cast<float>(x); });
  } else if (type.code == bfloat && type.bits == 16) {
    all(std::uint16_t{}, [](std::uint16_t x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); });
  } else if (type.code == real && type.bits == 16) {
    all(std::uint16_t{}, [](std::uint16_t x) { return to_float(f16{x}); });
  } else {
    refuse(fmt::format("an array of type code {} and {} bits", type.code, type.bits));
  }
}

session::Logits rows_of(nb::handle given) {
  session::Logits logits;
  if (PyIter_Check(given.ptr()) != 0) {
    for (const nb::handle block : nb::cast<nb::iterator>(given)) add_rows(block, logits);
  } else {
    add_rows(given, logits);
  }
  return logits;
}

nb::object array(std::vector<float> values, std::int64_t rows, std::int64_t columns) {
  auto kept = std::make_unique<std::vector<float>>(std::move(values));
  float* data = kept->data();
  nb::capsule owner(kept.release(), [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  const std::size_t shape[2] = {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
  return nb::cast(nb::ndarray<nb::array_api, float>(data, 2, shape, owner));
}

}  // namespace pkv::python
