#pragma once

#include <cstdint>

namespace lyre {

/// ITU-T G.711: one 16-bit sample to one byte, of which the lowest 2 (mu-law: of 14 bits) or 3
/// (A-law: of 13 bits) do not count.
uint8_t mulaw_from_pcm16(int16_t sample) noexcept;
uint8_t alaw_from_pcm16(int16_t sample) noexcept;

}  // namespace lyre
