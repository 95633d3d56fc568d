#pragma once

#include <bit>
#include <cstdint>

namespace lyre {

/// Exact value of an IEEE 754 binary16. Integer operations and one exact subtraction, so that it
/// neither depends on the CPU's subnormal mode (FTZ, DAZ) nor needs F16C; NaN keeps its payload.
inline float f16_to_f32(uint16_t half) noexcept {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7FFFu) << 13;  // exponent, mantissa
  const uint32_t exponent = magnitude & (0x1Fu << 23);
  // The exponent's bias goes from 15 to 127. Infinity and NaN have exponent 31, which must become
  // 255: the bias is added twice.
  const uint32_t normal = magnitude + (112u << 23) + (exponent == (0x1Fu << 23) ? 112u << 23 : 0u);
  // Subnormal: mantissa * 2^-24 = (1 + mantissa/1024) * 2^-14 - 2^-14.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude + (113u << 23)) - 0x1.0p-14f);
  return std::bit_cast<float>(sign | (exponent == 0 ? subnormal : normal));
}

/// Exact value of a bfloat16: the upper half of a float.
inline float bf16_to_f32(uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

}  // namespace lyre
