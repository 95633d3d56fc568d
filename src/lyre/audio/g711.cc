#include "lyre/audio/g711.h"

#include <algorithm>
#include <bit>

namespace lyre {
namespace {

/// Both laws: a sign, the position of the highest bit (3 bits), and the four bits behind it.
uint8_t segment_and_step(unsigned magnitude, int lowest_bit) noexcept {
  const int segment = static_cast<int>(std::bit_width(magnitude)) - 1 - lowest_bit;
  const unsigned step = (magnitude >> (segment + lowest_bit - 4)) & 0xF;
  return static_cast<uint8_t>((static_cast<unsigned>(segment) << 4) | step);
}

}  // namespace

uint8_t mulaw_from_pcm16(int16_t sample) noexcept {
  // In 14 bits; the bias lets every segment begin at a power of two.
  constexpr int kBias = 33;
  constexpr int kMost = 8191;
  const int value = sample >> 2;
  const bool negative = value < 0;
  // The complement, not the negative: -1 is the first step below zero, as 0 is the first above.
  const int magnitude = std::min((negative ? ~value : value) + kBias, kMost);
  const uint8_t code = segment_and_step(static_cast<unsigned>(magnitude), 5);
  return static_cast<uint8_t>(code ^ (negative ? 0x7F : 0xFF));
}

uint8_t alaw_from_pcm16(int16_t sample) noexcept {
  // In 13 bits. The lowest two segments have steps of the same size.
  const int value = sample >> 3;
  const bool negative = value < 0;
  const auto magnitude = static_cast<unsigned>(negative ? ~value : value);
  const uint8_t code = magnitude < 32 ? static_cast<uint8_t>(magnitude >> 1)
                                      : static_cast<uint8_t>(segment_and_step(magnitude, 5) + 0x10);
  // The even bits are inverted, so that silence has no long rows of equal bits.
  return static_cast<uint8_t>(code ^ (negative ? 0x55 : 0xD5));
}

}  // namespace lyre
