#include "lyre/lm/cpu/quantize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lyre/lm/cpu/matmul.h"

namespace lyre::cpu {
namespace {

QuantError quantize_group(const float* values, int64_t count, int8_t* quantized, float* scale) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  *scale = largest / 127.0f;
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  // Single precision suffices within a group; over a matrix the sums are double.
  float weight_energy = 0, error_energy = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float rounded = std::nearbyint(values[i] * inverse);
    quantized[i] = static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f));
    const float error = values[i] - *scale * rounded;
    weight_energy += values[i] * values[i];
    error_energy += error * error;
  }
  return {double{weight_energy}, double{error_energy}};
}

}  // namespace

double QuantError::relative_rms() const noexcept {
  return weight_energy > 0 ? std::sqrt(error_energy / weight_energy) : 0.0;
}

QuantError quantize(const WeightMatrix& from, const WeightMatrix& to, ThreadPool& threads) {
  auto* const data = static_cast<int8_t*>(const_cast<void*>(to.data));
  auto* const scales = const_cast<float*>(to.scales);
  const int64_t columns = from.columns, groups = quant_groups(columns);
  std::vector<QuantError> errors(static_cast<size_t>(threads.size()));
  threads.run([&](int thread) {
    std::vector<float> row(static_cast<size_t>(columns));
    QuantError error;
    const ThreadPool::Range range = threads.split(from.rows, 1, thread);
    for (int64_t r = range.begin; r < range.end; ++r) {
      decode_row(from, r, row.data());
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * kQuantGroup;
        error.add(quantize_group(&row[static_cast<size_t>(first)],
                                 std::min(kQuantGroup, columns - first), data + r * columns + first,
                                 scales + r * groups + g));
      }
    }
    errors[static_cast<size_t>(thread)] = error;
  });
  QuantError sum;
  for (const QuantError& error : errors) sum.add(error);
  return sum;
}

}  // namespace lyre::cpu
