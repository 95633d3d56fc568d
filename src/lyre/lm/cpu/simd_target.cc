#include "lyre/lm/cpu/simd_target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/lm/cpu/simd_target.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {
namespace {

int64_t chosen_target() { return HWY_TARGET; }

}  // namespace
}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::cpu {

HWY_EXPORT(chosen_target);

std::string simd_target() {
  switch (HWY_DYNAMIC_DISPATCH(chosen_target)()) {
    case HWY_AVX3:
      return "avx512";
    case HWY_AVX2:
      return "avx2";
    case HWY_SCALAR:
      return "scalar";
    case HWY_NEON:
      return "neon";
    default:
      return hwy::TargetName(HWY_DYNAMIC_DISPATCH(chosen_target)());
  }
}

void limit_simd(SimdLevel level) {
  constexpr int64_t kAbove256 = HWY_AVX3 | HWY_AVX3_DL;
  constexpr int64_t kAboveBaseline = kAbove256 | HWY_AVX2 | HWY_SSE4 | HWY_SSSE3;
  hwy::SetSupportedTargetsForTest(0);  // what the machine has
  const int64_t supported = hwy::SupportedTargets();
  if (level == SimdLevel::kAvx2) hwy::SetSupportedTargetsForTest(supported & ~kAbove256);
  if (level == SimdLevel::kBaseline) hwy::SetSupportedTargetsForTest(supported & ~kAboveBaseline);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
