#pragma once

#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/kv_pool.h"

namespace lyre::cuda {

/// Every row attends to the tokens of its sequence up to itself, whose keys and values are in the
/// pages already. Rows of prompts and of decodes are the same to it.
struct AttentionTask {
  const DeviceRow* rows = nullptr;  // (T)
  int count = 0;                    // T
  const float* queries = nullptr;   // (T, heads * D), rotated, in the order of stored_dim()
  int heads = 0;
  KvLayer kv;
  void* out = nullptr;  // (T, out_pitch) bf16
  int out_pitch = 0;
  /// Blocks that share a row's tokens, 1, 2, 4 or 8. A row's bits depend on it.
  int splits = 1;
};

/// Whether the kernels are built for heads of this size: 32, 64, 128 or 256.
bool attention_serves(int head_dim) noexcept;

/// Once, on the current device.
Status prepare_attention();

/// Heads that attention_serves() only. Bytes of the profile count `context` tokens a row.
void attend(Queue& queue, const AttentionTask& task, int64_t context);

}  // namespace lyre::cuda
