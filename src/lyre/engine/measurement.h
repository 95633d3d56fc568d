#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/result.h"

namespace lyre {

/// Of at least one value; the upper of the two middle ones.
inline double median(std::vector<double> values) {
  LYRE_CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// kInvalidArgument unless the size of a measurement is at least 1.
inline Status require_positive(const char* field, int value) {
  if (value >= 1) return ok_status();
  return Error{ErrorCode::kInvalidArgument,
               std::string(field) + ": expected at least 1, found " + std::to_string(value)};
}

}  // namespace lyre
