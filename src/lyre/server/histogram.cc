#include "lyre/server/histogram.h"

#include <algorithm>

namespace lyre::server {

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {}

void Histogram::add(double value) noexcept {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot now{bounds_, {}, sum_.load(std::memory_order_relaxed)};
  for (const auto& count : counts_) now.counts.push_back(count.load(std::memory_order_relaxed));
  return now;
}

}  // namespace lyre::server
