#pragma once

#include "lyre/lm/cpu/simd_target.h"

namespace lyre::test {

/// Every path of the dispatch; a machine that lacks one runs the next lower instead.
inline constexpr cpu::SimdLevel kSimdLevels[] = {cpu::SimdLevel::kBaseline, cpu::SimdLevel::kAvx2,
                                                 cpu::SimdLevel::kBest};

inline const char* simd_level_name(cpu::SimdLevel level) {
  return level == cpu::SimdLevel::kBaseline ? "baseline"
         : level == cpu::SimdLevel::kAvx2   ? "avx2"
                                            : "best";
}

/// Limits the kernels for a scope.
class SimdScope {
 public:
  explicit SimdScope(cpu::SimdLevel level) { cpu::limit_simd(level); }
  SimdScope(const SimdScope&) = delete;
  SimdScope& operator=(const SimdScope&) = delete;
  ~SimdScope() { cpu::limit_simd(cpu::SimdLevel::kBest); }
};

}  // namespace lyre::test
