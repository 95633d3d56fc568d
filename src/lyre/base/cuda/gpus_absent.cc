#include "lyre/base/cuda/gpus.h"

namespace lyre {

std::vector<Gpu> list_gpus() { return {}; }

bool built_with_cuda() noexcept { return false; }

Result<GpuBandwidth> measure_gpu_bandwidth(int) {
  return Error{ErrorCode::kUnavailable, "gpu: this build has no CUDA backend"};
}

}  // namespace lyre
