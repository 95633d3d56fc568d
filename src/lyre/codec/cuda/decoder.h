#pragma once

#include <cstdint>

#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/base/result.h"
#include "lyre/codec/cuda/device_weights.h"
#include "lyre/codec/cuda/stream_plan.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::snac_cuda {

/// Weights, states and work memory of the decoder on the current device, and the chain of kernels
/// that takes the slots of a round through all layers. Not thread-safe.
class Decoder {
 public:
  static Result<Decoder> open(const SnacDecoderWeights& weights, int max_streams, int most_slots);

  const StreamPlan& plan() const noexcept { return plan_; }
  int64_t weight_bytes() const noexcept { return weights_.size_bytes(); }

  /// Filled by a copy before the kernels run.
  Slot* slots() const noexcept { return slots_.as<Slot>(); }
  /// (slot_count, plan().samples), in order of the slots.
  const float* pcm() const noexcept { return pcm_.as<float>(); }

  /// The kernels of one round of slots()[0 .. slot_count); unused slots come last.
  void put(cuda::Queue& queue, int slot_count) const;

 private:
  Decoder(const SnacConfig& config, DeviceWeights weights)
      : config_(config), plan_(config), weights_(std::move(weights)) {}

  SnacConfig config_;
  StreamPlan plan_;
  DeviceWeights weights_;
  cuda::DeviceMemory states_;  // (max_streams, 2, plan.state_bytes)
  cuda::DeviceMemory slots_;   // (most_slots)
  cuda::DeviceMemory pcm_;
  // What one kernel leaves to the next: fp16 operands, and the residual stream twice.
  cuda::DeviceMemory latents_, halves_, rows_[2];
};

}  // namespace lyre::snac_cuda
