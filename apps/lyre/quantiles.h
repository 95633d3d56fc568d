#pragma once

#include <vector>

namespace lyre::command {

struct Quantiles {
  double p50 = 0, p90 = 0, p99 = 0;
};

/// By nearest rank: each is one of the values. All 0 if there are none.
Quantiles quantiles(std::vector<double> values);

}  // namespace lyre::command
