// Where a matrix of 16-bit weights lies once it is packed: tiles of 16 outputs x 16 inputs, 512 bytes each, in the
// order in which a warp holds the first operand of mma.sync m16n8k16 and a warp of wgmma m64nNk16 the same: lane l = 4
// g + t has 16 bytes, the inputs 2t, 2t+1 of output g, of output g+8, then the inputs 2t+8, 2t+9 of output g, of output
// g+8. Tiles of one 16 outputs follow each other along K. What the edges lack is 0.
//
//   halves    [m_tiles, k_tiles, 32 lanes, 8]
//   scales    float [16 m_tiles]: 2^-b of each output, by which its sums are multiplied       (bf16 only, as what
//   follows) offsets   int32 [16 m_tiles + 1]: the weights kept apart of output o are those of [offsets[o], offsets[o +
//   1]) apart     {int32 input, float weight} [offsets[16 m_tiles]], inputs ascending within an output
#pragma once

#include "engine/kernels/law/halves.h"

namespace pkv::kernels::law {

constexpr std::int64_t kTile = 16, kTileHalves = kTile * kTile, kTileBytes = 2 * kTileHalves;

struct Apart {
  std::int32_t input;
  float weight;
};

// The shape of a packed matrix of [outs, in].
struct Packed {
  std::int64_t outs, in;

  PKV_BOTH std::int64_t m_tiles() const;
  PKV_BOTH std::int64_t k_tiles() const;
  // Halves from the start to weight (o, k), and to tile (m, k).
  PKV_BOTH std::int64_t at(std::int64_t o, std::int64_t k) const;
  PKV_BOTH std::int64_t tile(std::int64_t m, std::int64_t k) const;
  // Bytes from the start, and of all of it.
  PKV_BOTH std::int64_t scales() const;
  PKV_BOTH std::int64_t offsets() const;
  PKV_BOTH std::int64_t apart() const;
  PKV_BOTH std::int64_t bytes(bool bf16, std::int64_t kept_apart) const;
};

PKV_BOTH std::int64_t tiles(std::int64_t n) { return (n + kTile - 1) / kTile; }
PKV_BOTH std::int64_t Packed::m_tiles() const { return tiles(outs); }
PKV_BOTH std::int64_t Packed::k_tiles() const { return tiles(in); }
PKV_BOTH std::int64_t Packed::tile(std::int64_t m, std::int64_t k) const { return (m * k_tiles() + k) * kTileHalves; }
PKV_BOTH std::int64_t Packed::at(std::int64_t o, std::int64_t k) const {
  const std::int64_t r = o % kTile, c = k % kTile;
  const std::int64_t lane = 4 * (r % 8) + c % 8 / 2;
  return tile(o / kTile, k / kTile) + 8 * lane + 4 * (c / 8) + 2 * (r / 8) + c % 2;
}
PKV_BOTH std::int64_t Packed::scales() const { return m_tiles() * k_tiles() * kTileBytes; }
PKV_BOTH std::int64_t Packed::offsets() const { return scales() + m_tiles() * kTile * 4; }
PKV_BOTH std::int64_t Packed::apart() const { return offsets() + (m_tiles() * kTile + 2) / 2 * 8; }
PKV_BOTH std::int64_t Packed::bytes(bool bf16, std::int64_t kept_apart) const {
  return bf16 ? apart() + kept_apart * static_cast<std::int64_t>(sizeof(Apart)) : scales();
}

// The largest finite magnitude of an output, as bits: what its exponent comes from.
PKV_BOTH std::uint32_t most_of_bf16(const std::uint16_t* row, std::int64_t in) {
  std::uint32_t most = 0;
  for (std::int64_t k = 0; k < in; ++k) {
    const std::uint32_t m = finite_magnitude(float_of_bf16(row[k]));
    most = m > most ? m : most;
  }
  return most;
}

}  // namespace pkv::kernels::law
