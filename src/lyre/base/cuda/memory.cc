#include "lyre/base/cuda/memory.h"

#include <cuda_runtime_api.h>

#include <string>

#include "lyre/base/cuda/status.h"

namespace lyre::cuda {
namespace {

std::string mebibytes(size_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

}  // namespace

Result<DeviceMemory> DeviceMemory::allocate(int64_t bytes, const char* what) {
  DeviceMemory memory;
  if (bytes <= 0) return memory;
  const cudaError_t error = cudaMalloc(&memory.data_, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the device is fine
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    return Error{ErrorCode::kResourceExhausted, std::string("GPU memory: ") + what + " needs " +
                                                    mebibytes(static_cast<size_t>(bytes)) + ", " +
                                                    mebibytes(free_bytes) + " of " +
                                                    mebibytes(total_bytes) + " are free"};
  }
  LYRE_RETURN_IF_ERROR(status_of(error, what));
  memory.size_bytes_ = bytes;
  return memory;
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFree(data_);
}

Result<PinnedMemory> PinnedMemory::allocate(int64_t bytes, const char* what) {
  PinnedMemory memory;
  if (bytes <= 0) return memory;
  const cudaError_t error = cudaMallocHost(&memory.data_, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return Error{ErrorCode::kResourceExhausted, std::string("pinned memory: ") + what + " needs " +
                                                    mebibytes(static_cast<size_t>(bytes)) +
                                                    ", which the system does not give"};
  }
  LYRE_RETURN_IF_ERROR(status_of(error, what));
  memory.size_bytes_ = bytes;
  return memory;
}

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

}  // namespace lyre::cuda
