// The dtypes that a safetensors file may hold, in the order of the reference implementation, which sorts by it when it
// writes. Used by the reader and the writer; not part of the room's door.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pkv::containers {

struct SafetensorsType {
  std::string_view name;
  std::uint64_t bits;  // of one element
};

inline constexpr std::array<SafetensorsType, 22> kSafetensorsTypes{
    {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
     {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
     {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
     {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}}};

constexpr const SafetensorsType* find_safetensors_type(std::string_view name) {
  for (const SafetensorsType& f : kSafetensorsTypes) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

}  // namespace pkv::containers
