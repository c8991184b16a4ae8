// Which experts rows go to: law/route.h.
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/law/route.h"

namespace pkv::kernels::cuda {
namespace {

struct Routes {
  const float *scores, *bias;
  float* weights;
  std::int64_t scores_step, weights_step, places_step, rows;
  int experts, chosen;
  std::int32_t *places, *pairs, *starts;
  std::byte* scratch;  // of choose_experts, `of_row` bytes a row
  std::int64_t of_row;
  std::int32_t* of_rows;  // [rows, chosen]: the experts
  Routing how;
};

__global__ void __launch_bounds__(64) choose_kernel(Routes a) {
  wait_for_operands();
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * 64 + threadIdx.x;
  if (r >= a.rows) return;
  law::choose_experts(a.how, a.scores + r * a.scores_step, a.bias, a.experts, a.chosen, a.scratch + r * a.of_row,
                      a.weights + r * a.weights_step, a.of_rows + r * a.chosen);
}

// One block; a thread an expert.
__global__ void __launch_bounds__(1024) group_kernel(Routes a) {
  wait_for_operands();
  const std::int64_t all = a.rows * a.chosen;
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += 1024) {
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < all; ++i) count += a.of_rows[i] == e ? 1 : 0;
    a.starts[e + 1] = count;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    a.starts[0] = 0;
    for (int e = 0; e < a.experts; ++e) a.starts[e + 1] += a.starts[e];
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += 1024) {
    std::int32_t place = a.starts[e];
    for (std::int64_t i = 0; i < all; ++i) {
      if (a.of_rows[i] != e) continue;
      a.pairs[place] = static_cast<std::int32_t>(i / a.chosen);
      a.places[i / a.chosen * a.places_step + i % a.chosen] = place++;
    }
  }
}

}  // namespace

void route(Device& device, const Route& call) noexcept {
  Card& card = of(device);
  const auto turn = card.turn();
  Routes a{.scores = call.scores.as<const float>(),
           .bias = call.bias.as<const float>(),
           .weights = call.weights.as<float>(),
           .scores_step = call.scores.step(0),
           .weights_step = call.weights.step(0),
           .places_step = call.places.step(0),
           .rows = call.scores[0],
           .experts = static_cast<int>(call.scores[1]),
           .chosen = static_cast<int>(call.weights[1]),
           .places = call.places.as<std::int32_t>(),
           .pairs = call.rows.as<std::int32_t>(),
           .starts = call.starts.as<std::int32_t>(),
           .of_row = (law::route_scratch(call.scores[1]) + 7) / 8 * 8,
           .how = call.how};
  a.scratch = static_cast<std::byte*>(card.scratch(static_cast<std::size_t>(a.rows * (a.of_row + 4 * a.chosen))));
  if (a.scratch == nullptr) return;
  a.of_rows = reinterpret_cast<std::int32_t*>(a.scratch + a.rows * a.of_row);
  launch(card, "route", choose_kernel, blocks_for(a.rows, 64), 64, 0, a);
  launch(card, "route", group_kernel, 1, 1024, 0, a);
}

}  // namespace pkv::kernels::cuda
