#include "engine/model/faults/misstate.h"

#include <algorithm>
#include <span>
#include <vector>

#include "engine/model/faults/fault.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

using State = Fault::State;

// After how many tokens the state is that it goes on from.
std::int64_t place_of(const Fault& fault, const Past& past) {
  if (fault.state == State::elsewhere) return std::max<std::int64_t>(0, past.length() - fault.steps);
  if (fault.state == State::first_of_call) return std::min(past.length(), past.called_from() + 1);
  return past.length();
}

std::vector<std::byte> state_after(const Model& model, const Past& past, std::int64_t tokens) {
  std::vector<std::byte> state(past.shape().state_bytes());
  if (tokens == past.length()) {
    past.download_state(tokens, state);
  } else if (tokens > 0) {
    Past other = model.new_past();
    feed_in_pieces(model, other, past.ids().first(static_cast<std::size_t>(tokens)));
    other.download_state(tokens, state);
  }
  return state;
}

void change(std::span<std::byte> state, const PastShape& shape, State fault) {
  for (std::size_t i = 0; i < shape.states.size(); ++i) {
    const StateShape& s = shape.states[i];
    const auto inputs = state.subspan(shape.state_at(i), s.convolution_bytes());
    const auto matrices = state.subspan(shape.state_at(i) + inputs.size(), s.recurrence_bytes());
    if (fault == State::inputs_dropped) std::ranges::fill(inputs, std::byte());
    if (fault == State::matrices_dropped) std::ranges::fill(matrices, std::byte());
    if (fault != State::bf16) continue;
    for (std::size_t at = 0; at < matrices.size(); at += sizeof(float)) {
      store_element(&matrices[at], DType::f32, 0, rounded(load_element(&matrices[at], DType::f32, 0), DType::bf16));
    }
  }
}

}  // namespace

kernels::Memory misstate(const Model& model, const Feed& feed) {
  const Past& past = *feed.past;
  if (feed.fault == nullptr || past.length() == 0 || past.shape().states.empty()) return {};
  const State fault = feed.fault->state;
  const bool dropped = fault == State::matrices_dropped || fault == State::inputs_dropped;
  if (fault == State::unlimited || fault == State::right || fault == State::not_rewound ||
      (dropped && feed.ids.size() == 1))
    return {};
  std::vector<std::byte> state = state_after(model, past, place_of(*feed.fault, past));
  change(state, past.shape(), fault);
  kernels::Memory memory(model.backend(), state.size());
  model.backend().upload(memory.data(), state.data(), state.size());
  return memory;
}

}  // namespace pkv::model
