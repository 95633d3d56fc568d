#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

namespace lyre::server {

/// How often values fell between fixed bounds. Any thread, without locks: a reader may see a value
/// in its bucket that is not in the sum yet.
class Histogram {
 public:
  /// Upper bounds, ascending; what is above the last has a bucket of its own.
  explicit Histogram(std::span<const double> bounds);

  void add(double value) noexcept;

  struct Snapshot {
    std::vector<double> bounds;
    std::vector<uint64_t> counts;  // of each bucket alone, one more than bounds
    double sum = 0;
  };
  Snapshot snapshot() const;

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

}  // namespace lyre::server
