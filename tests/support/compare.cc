#include "support/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lyre::test {

Difference difference(std::span<const float> actual, std::span<const float> expected) {
  Difference d;
  double energy = 0, error = 0;
  const size_t n = std::min(actual.size(), expected.size());
  for (size_t i = 0; i < n; ++i) {
    const double a = actual[i], e = expected[i], diff = std::abs(a - e);
    energy += e * e;
    error += diff * diff;
    // Not `diff > max`: a NaN must become the worst element, not vanish.
    if (d.worst_index < 0 || !(diff <= d.max_abs)) {
      d.max_abs = diff;
      d.worst_index = static_cast<int64_t>(i);
    }
    if (std::isnan(d.max_abs)) break;
  }
  if (n > 0) d.rms_expected = std::sqrt(energy / static_cast<double>(n));
  d.relative = d.max_abs / d.rms_expected;
  d.snr_db = error > 0 ? 10 * std::log10(energy / error) : std::numeric_limits<double>::infinity();
  return d;
}

testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   double tolerance) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " values, expected " << expected.size();
  }
  if (expected.empty()) return testing::AssertionFailure() << "nothing to compare";
  if (!(tolerance >= 0) || std::isinf(tolerance)) {
    return testing::AssertionFailure() << "tolerance " << tolerance << " is none";
  }
  const Difference d = difference(actual, expected);
  const double limit = tolerance * std::max(d.rms_expected, 1e-30);
  size_t passed = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isfinite(actual[i]) && std::isfinite(expected[i]) &&
        std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i])) <= limit) {
      ++passed;
    }
  }
  if (passed == expected.size()) return testing::AssertionSuccess();
  const auto worst = static_cast<size_t>(d.worst_index);
  return testing::AssertionFailure()
         << expected.size() - passed << " of " << expected.size() << " values differ by more than "
         << limit << "; worst at " << worst << ": " << actual[worst] << ", expected "
         << expected[worst] << " (relative " << d.relative << ", " << d.snr_db << " dB)";
}

}  // namespace lyre::test
