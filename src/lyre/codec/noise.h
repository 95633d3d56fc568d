#pragma once

#include <cstdint>
#include <span>

namespace lyre {

/// Noise of a NoiseBlock: out[i] ~ N(0, 1) for absolute time step first_step + i of decoder block
/// `block`, a pure function of (seed, block, step): any chunking, batching or backend sees the same
/// values. One value a step, shared by the channels.
void fill_noise(uint64_t seed, int block, int64_t first_step, std::span<float> out) noexcept;

}  // namespace lyre
