#pragma once

#include <cstdint>
#include <span>

#include <gtest/gtest.h>

namespace lyre::test {

/// Largest differences of two equally long rows of numbers.
struct Difference {
  double max_abs = 0;
  double rms_expected = 0;  // root mean square of the expected values
  double relative = 0;      // max_abs / rms_expected
  double snr_db = 0;        // signal to error ratio
  int64_t worst_index = -1;
};

Difference difference(std::span<const float> actual, std::span<const float> expected);

/// Every element must satisfy |actual - expected| <= tolerance * max(rms(expected), tiny), written
/// so that NaN and infinity on either side fail; lengths must be equal and not zero, and the number
/// of elements that passed must equal the length.
testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   double tolerance);

}  // namespace lyre::test
