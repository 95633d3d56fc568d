#pragma once

#include "lyre/base/cuda/queue.h"
#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"

namespace lyre::cuda {

/// Copies the weights to the current device, in the layouts of device_types.h: fp16 and fp32 become
/// bf16 (nearest, ties to even), or with kFp8 the layers' matrices e4m3. Waits for the end: the
/// files are not needed afterwards. The threads convert into buffers of staging_bytes, of which the
/// device copies one while they fill the next.
/// kResourceExhausted with what is needed and free; kInvalidArgument for a format or head_dim (a
/// multiple of 16) that there is no layout for.
Result<DeviceWeights> upload_weights(const LlamaWeights& weights, WeightFormat format,
                                     ThreadPool& threads, Queue& queue,
                                     int64_t staging_bytes = int64_t{64} << 20);

}  // namespace lyre::cuda
