#include "lyre/base/cuda/status.h"

#include <string>

namespace lyre::cuda {

Status status_of(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return ok_status();
  const std::string message = std::string("CUDA: ") + what + ": " + cudaGetErrorString(error) +
                              " (" + cudaGetErrorName(error) + ")";
  switch (error) {
    case cudaErrorMemoryAllocation:
      return Error{ErrorCode::kResourceExhausted, message};
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInitializationError:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
      return Error{ErrorCode::kUnavailable, message};
    default:
      return Error{ErrorCode::kDeviceLost, message};
  }
}

}  // namespace lyre::cuda
