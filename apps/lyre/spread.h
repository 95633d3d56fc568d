#pragma once

#include <vector>

namespace lyre::command {

/// Middle and range of a measurement.
struct Spread {
  double median = 0, least = 0, most = 0;
};

/// The median of an even number of values is the mean of the middle two. All 0 if there are none.
Spread spread_of(std::vector<double> values);

}  // namespace lyre::command
