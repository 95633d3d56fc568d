#pragma once

#include <array>
#include <cstdint>

namespace lyre {

/// Philox 4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy
/// as 1, 2, 3" (SC 2011). A pure function of key and counter: a draw depends on what it is for,
/// never on how many draws came before.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key) noexcept;

/// [0, 1) with 24 random bits, exact in float.
inline float uniform_from_bits(uint32_t bits) noexcept {
  return static_cast<float>(bits >> 8) * 0x1.0p-24f;
}

/// Two standard normal values from two words (Box-Muller).
std::array<float, 2> normal_from_bits(uint32_t a, uint32_t b) noexcept;

}  // namespace lyre
