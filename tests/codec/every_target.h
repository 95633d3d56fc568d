#pragma once

#include <cstdint>

#include <gtest/gtest.h>

#include "hwy/targets.h"

namespace lyre::test {

/// Runs the body once for each SIMD target that was compiled and that this machine has.
template <class Body>
void for_every_target(Body&& body) {
  const int64_t here = hwy::SupportedTargets();
  for (int64_t left = here; left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace lyre::test
