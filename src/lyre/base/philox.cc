#include "lyre/base/philox.h"

#include <cmath>
#include <numbers>

namespace lyre {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key) noexcept {
  // Multipliers and Weyl constants of the paper's table.
  constexpr uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

std::array<float, 2> normal_from_bits(uint32_t a, uint32_t b) noexcept {
  // (0, 1]: the logarithm stays finite.
  const float u = (static_cast<float>(a >> 8) + 1.0f) * 0x1.0p-24f;
  const float angle = 2.0f * std::numbers::pi_v<float> * uniform_from_bits(b);
  const float radius = std::sqrt(-2.0f * std::log(u));
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace lyre
