// Products of many rows with weights of 16 bits, by wgmma. A block has 128 outputs and 96 rows, whose two halves are
// 192 columns of the instruction. One warp copies stages of 64 inputs into shared memory; two warpgroups of 64 outputs
// each take their weights from there into registers and fold what a segment of K gives into sums of their own.
#include "engine/kernels/cuda/product.cuh"
#include "engine/kernels/cuda/wgmma.cuh"

namespace pkv::kernels::cuda {
namespace {

constexpr int kRows = static_cast<int>(kManyRows), kTiles = 8, kSteps = 4;
constexpr int kConsumers = 256, kStages = 5;
constexpr std::uint32_t kTileBytes = law::kTileBytes, kWeightBytes = kTiles * kSteps * kTileBytes;
constexpr std::uint32_t kChunkBytes = 2 * kRows * 16, kRowBytes = 2 * kSteps * kChunkBytes;
constexpr std::uint32_t kStageBytes = kWeightBytes + kRowBytes;
static_assert(sizeof(float) * 16 * kTiles * kRows <= kStages * kStageBytes);

struct Barriers {
  std::uint64_t full[kStages], empty[kStages];
};

// kStagesOfSegment: K ends with a whole segment, of zeros where it must.
template <int kStagesOfSegment>
__global__ void __launch_bounds__(kConsumers + 128, 1) many_kernel(Product p) {
  extern __shared__ __align__(128) std::uint8_t shared[];
  __shared__ Barriers barriers;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t row_tile = blockIdx.x, first_tile = static_cast<std::int64_t>(blockIdx.y) * kTiles;
  const auto steps = static_cast<int>(p.shape.k_tiles()), stages = static_cast<int>(p.split.chunks) / (2 * kSteps);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&barriers.full[s], 1);
      barrier_init(&barriers.empty[s], kConsumers / 32);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_operands();

  if (warp >= kConsumers / 32) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (warp > kConsumers / 32) return;
    for (int s = 0; s < stages; ++s) {
      const int slot = s % kStages;
      if (s >= kStages) barrier_wait(&barriers.empty[slot], (s / kStages - 1) & 1);
      const int held = max(0, min(kSteps, steps - s * kSteps));
      std::uint8_t* to = shared + slot * kStageBytes;
      if (lane == 0) {
        barrier_expect(&barriers.full[slot], static_cast<std::uint32_t>(kTiles * held) * kTileBytes + kRowBytes);
        bulk_copy(to + kWeightBytes, p.split.halves + (row_tile * p.split.chunks + 2 * kSteps * s) * kChunkBytes / 2,
                  kRowBytes, &barriers.full[slot]);
      }
      __syncwarp();
      if (lane < kTiles && held > 0) {
        const std::int64_t tile = min(first_tile + lane, p.shape.m_tiles() - 1);
        bulk_copy(to + static_cast<std::uint32_t>(lane * kSteps) * kTileBytes,
                  p.weights + (tile * steps + s * kSteps) * kTileBytes, static_cast<std::uint32_t>(held) * kTileBytes,
                  &barriers.full[slot]);
      }
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    float sum[96], total[48];
#pragma unroll
    for (float& x : total) x = 0;
    for (int s = 0; s < stages; s += kStagesOfSegment) {
      uint4 a[2][kSteps];
#pragma unroll
      for (int j = 0; j < kStagesOfSegment; ++j) {
        const int slot = (s + j) % kStages;
        const std::uint8_t* from = shared + slot * kStageBytes;
        barrier_wait(&barriers.full[slot], ((s + j) / kStages) & 1);
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          uint4& of_step = a[j % 2][i];
          of_step = *reinterpret_cast<const uint4*>(from + static_cast<std::uint32_t>(warp * kSteps + i) * kTileBytes +
                                                    16 * lane);
          if ((s + j) * kSteps + i >= steps) of_step = make_uint4(0, 0, 0, 0);
        }
        wgmma_begin();
#pragma unroll
        for (int i = 0; i < kSteps; ++i) {
          const std::uint32_t at =
              shared_address(from + kWeightBytes) + static_cast<std::uint32_t>(2 * i) * kChunkBytes;
          wgmma_halves(sum, a[j % 2][i], operand(at, kChunkBytes, 128), i + j == 0 ? 0 : 1);
        }
        wgmma_end();
        if (j + 1 == kStagesOfSegment) {
          wgmma_wait<0>();
          settled(sum);
        } else {
          wgmma_wait<1>();
        }
        if (j > 0) barrier_arrive_if(lane == 0, &barriers.empty[(s + j - 1) % kStages]);
        if (j + 1 == kStagesOfSegment) barrier_arrive_if(lane == 0, &barriers.empty[slot]);
      }
#pragma unroll
      for (int i = 0; i < 48; ++i) total[i] = total[i] + law::joined(sum[i], sum[48 + i]);
    }

    // The sums lie where the stages were: [rows, outputs].
    auto* sums = reinterpret_cast<float*>(shared);
    asm volatile("bar.sync 1, 256;" ::: "memory");
#pragma unroll
    for (int i = 0; i < 48; ++i) {
      const int r = 8 * (i / 4) + 2 * (lane % 4) + i % 2, o = 16 * warp + lane / 4 + i % 4 / 2 * 8;
      sums[r * 16 * kTiles + o] = total[i];
    }
    asm volatile("bar.sync 1, 256;" ::: "memory");
    for (int i = static_cast<int>(threadIdx.x); i < 16 * kTiles * kRows; i += kConsumers) {
      const std::int64_t r = row_tile * kRows + i / (16 * kTiles), o = first_tile * 16 + i % (16 * kTiles);
      if (r < p.rows && o < p.shape.outs) p.finish(r, o, sums[i]);
    }
  }
}

}  // namespace

void multiply_many(Card& card, const Product& p) noexcept {
  const dim3 grid(static_cast<unsigned>(p.split.rows / kManyRows), blocks_for(p.shape.m_tiles(), kTiles));
  auto* kernel = law::segment_of(p.shape.in) == 128 ? &many_kernel<2> : &many_kernel<4>;
  launch(card, "linear", kernel, grid, kConsumers + 128, kStages * kStageBytes, p);
}

}  // namespace pkv::kernels::cuda
