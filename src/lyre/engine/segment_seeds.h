#pragma once

#include <cstdint>

namespace lyre {

struct SegmentSeeds {
  uint64_t sampling = 0;  // SamplingParams::seed of its sequence
  uint64_t noise = 0;     // StreamOptions::noise_seed of its codec stream
};

/// Seeds of one segment of a request: the four words of philox4x32 with the request's seed as key
/// and (segment, "segm", 0, 0) as counter; the first two make the sampling seed, the others the
/// noise seed, low word first. So every segment draws differently, and the audio of a segment
/// depends on its own text and number only.
SegmentSeeds segment_seeds(uint64_t seed, uint32_t segment) noexcept;

}  // namespace lyre
