#pragma once

#include <cuda_runtime_api.h>

#include "lyre/base/result.h"

namespace lyre::cuda {

/// ok for cudaSuccess. cudaErrorMemoryAllocation: kResourceExhausted; no usable driver or GPU:
/// kUnavailable; everything else kDeviceLost: after a fault in a kernel nothing on the device can
/// be trusted, and every later call of the process fails too. `what` was being done.
Status status_of(cudaError_t error, const char* what);

}  // namespace lyre::cuda
