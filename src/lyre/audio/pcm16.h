#pragma once

#include <cstdint>
#include <span>

namespace lyre {

inline constexpr int kPcm16BytesPerSample = 2;

/// Sample in [-1, 1] to 16 bits: x * 32768 rounded to nearest (ties to even), clipped to
/// [-32768, 32767]; NaN becomes 0. The scale is that of reading (value / 32768), so 16-bit audio
/// that is read and written again is unchanged.
int16_t pcm16_from_float(float sample) noexcept;

/// Little-endian bytes; bytes.size() == 2 * samples.size(). The one conversion of the project: the
/// command's files and the server's streams are equal byte for byte.
void write_pcm16_le(std::span<const float> samples, std::span<uint8_t> bytes) noexcept;

}  // namespace lyre
