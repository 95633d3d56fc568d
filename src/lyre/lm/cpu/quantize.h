#pragma once

#include <cstdint>

#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/weight_matrix.h"

namespace lyre::cpu {

/// Energy of the weights and of what quantisation changed them by.
struct QuantError {
  double weight_energy = 0, error_energy = 0;

  void add(const QuantError& other) noexcept {
    weight_energy += other.weight_energy;
    error_energy += other.error_energy;
  }
  double relative_rms() const noexcept;  // 0.005: half a per cent
};

/// Quantises symmetrically: scale = largest magnitude of a group / 127, to the nearest integer.
/// to.data and to.scales point to writable memory of quantised_bytes() and scale_count() floats.
QuantError quantize(const WeightMatrix& from, const WeightMatrix& to, ThreadPool& threads);

inline int64_t quantized_bytes(const WeightMatrix& w) noexcept { return w.rows * w.columns; }
inline int64_t scale_count(const WeightMatrix& w) noexcept {
  return w.rows * quant_groups(w.columns);
}

}  // namespace lyre::cpu
