#pragma once

#include "lyre/base/cuda/gpus.h"
#include "lyre/base/result.h"

namespace lyre::cuda {

/// Makes GPU `index` the current one of the calling thread and returns what it is. kNotFound with
/// the GPUs that there are; kUnavailable where there is no driver, where the GPU has a compute
/// capability below 9.0, or where this build has no machine code for it. Every thread that calls
/// CUDA selects first.
Result<Gpu> select_device(int index);

}  // namespace lyre::cuda
