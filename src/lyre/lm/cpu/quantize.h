#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

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

/// to.data and to.scales point to writable memory of quantized_bytes() and scale_count() floats.
struct QuantizeJob {
  WeightMatrix from, to;
};

/// Quantises symmetrically: scale = largest magnitude of a group / 127, to the nearest integer.
/// The result does not depend on the number of threads. One region over all matrices: a small model
/// has many, and every region waits for its last thread. `done`, if there is one, is called when a
/// job is done, on any thread.
QuantError quantize(std::span<const QuantizeJob> jobs, ThreadPool& threads,
                    const std::function<void(const QuantizeJob&)>& done = {});

inline int64_t quantized_bytes(const WeightMatrix& w) noexcept { return w.rows * w.columns; }
inline int64_t scale_count(const WeightMatrix& w) noexcept {
  return w.rows * quant_groups(w.columns);
}

}  // namespace lyre::cpu
