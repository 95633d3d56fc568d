// What a span costs: off, against the same loop without spans, in turns; and on.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "lyre/base/clock.h"
#include "lyre/base/trace.h"

namespace lyre {
namespace {

constinit trace::Operation kOperation("bench.work", "items");

constexpr int kRounds = 10'000;

/// A few nanoseconds that no compiler can leave out or reorder.
void work(uint64_t& value) {
  value = value * 6364136223846793005u + 1442695040888963407u;
  benchmark::DoNotOptimize(value);
}

double without_spans_ns(uint64_t& value) {
  const TimePoint start = Clock::now();
  for (int i = 0; i < kRounds; ++i) work(value);
  return milliseconds_since(start) * 1e6 / kRounds;
}

double with_spans_ns(uint64_t& value) {
  const TimePoint start = Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    const trace::Span span(kOperation, i);
    work(value);
  }
  return milliseconds_since(start) * 1e6 / kRounds;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void measure(benchmark::State& state) {
  uint64_t value = 1;
  std::vector<double> without, with, difference;
  for (auto _ : state) {
    without.push_back(without_spans_ns(value));
    with.push_back(with_spans_ns(value));
    difference.push_back(with.back() - without.back());
  }
  state.counters["without_ns"] = median(without);
  state.counters["with_ns"] = median(with);
  state.counters["span_ns"] = median(difference);
}

void span_off(benchmark::State& state) {
  trace::stop();
  measure(state);
}
BENCHMARK(span_off);

void span_on(benchmark::State& state) {
  trace::start();
  measure(state);
  trace::stop();
}
BENCHMARK(span_on);

}  // namespace
}  // namespace lyre

BENCHMARK_MAIN();
