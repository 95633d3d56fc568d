#include "lyre/quantiles.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace lyre::command {

Quantiles quantiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[std::max<size_t>(static_cast<size_t>(rank), 1) - 1];
  };
  return {at(0.50), at(0.90), at(0.99)};
}

}  // namespace lyre::command
