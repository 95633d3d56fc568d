#pragma once

#include <cstdint>
#include <string>

namespace lyre::cpu {

/// Name of the instruction set that the kernels use on this machine: "avx512", "avx2",
/// "neon", or "scalar": on x86-64 without AVX2, one element at a time.
std::string simd_target();

enum class SimdLevel : uint8_t { kBaseline, kAvx2, kBest };

/// Uses at most this level from now on, in the whole process; what the machine lacks stays unused.
/// Not while a kernel runs. For tests and comparisons.
void limit_simd(SimdLevel level);

}  // namespace lyre::cpu
