// What is fed to a model in one call, and what can be seen of it on the way.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pkv::model {

class Past;
struct Fault;

// The next tokens of one text, and the past they come after.
struct Feed {
  std::span<const std::int32_t> ids;
  Past* past = nullptr;

  // Something to go wrong, in a call that continues a past. `as_if_past` > 0, of a feed to an empty past: the tokens
  // from there on are computed as if they had been fed after the others. Without a fault that changes nothing.
  const Fault* fault = nullptr;
  std::int64_t as_if_past = 0;
  const std::byte* state = nullptr;  // that the layers go on from, of such a fault; null: the past's
};

enum class Want : std::uint8_t { all, last };  // the rows whose logits are computed, in each feed

// Hidden states copied out on the way, for tests and for finding the layer where two runs part.
struct Taps {
  std::vector<float> embedded;               // [rows, hidden] before the first layer
  std::vector<std::vector<float>> layers;    // [rows, hidden] after each layer
  std::vector<std::vector<float>> attended;  // [rows, heads, head_dim] what each head gives, in each layer; or none
  std::vector<float> head;                   // [wanted rows, hidden] as the output matrix reads them
};

}  // namespace pkv::model
