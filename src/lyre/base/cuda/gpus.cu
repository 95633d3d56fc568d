#include "lyre/base/cuda/gpus.h"

#include <algorithm>

#include "lyre/base/cuda/device.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/base/cuda/status.h"

namespace lyre {
namespace {

constexpr int kLeastMajor = 9;

// Its machine code tells whether this build serves a GPU.
__global__ void probe_kernel() {}

constexpr int kReadThreads = 512, kReadAtOnce = 8;

// Blocks take turns with pieces of kReadThreads * kReadAtOnce words of 16 bytes.
__global__ void __launch_bounds__(kReadThreads)
    read_kernel(const uint4* data, int64_t count, uint32_t* out) {
  constexpr int64_t kPiece = int64_t{kReadThreads} * kReadAtOnce;
  uint32_t bits = 0;
  for (int64_t base = blockIdx.x * kPiece; base + kPiece <= count; base += gridDim.x * kPiece) {
    const int64_t at = base + threadIdx.x;
    uint4 values[kReadAtOnce];
#pragma unroll
    for (int k = 0; k < kReadAtOnce; ++k) values[k] = __ldcs(&data[at + k * kReadThreads]);
#pragma unroll
    for (int k = 0; k < kReadAtOnce; ++k) {
      bits ^= values[k].x ^ values[k].y ^ values[k].z ^ values[k].w;
    }
  }
  if (bits == 0x9E3779B9u) *out = bits;  // keeps the loads alive
}

Gpu describe(int index, const cudaDeviceProp& properties) {
  Gpu gpu;
  gpu.index = index;
  gpu.name = properties.name;
  gpu.capability_major = properties.major;
  gpu.capability_minor = properties.minor;
  gpu.multiprocessors = properties.multiProcessorCount;
  gpu.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  gpu.l2_bytes = properties.l2CacheSize;
  cudaDriverGetVersion(&gpu.driver_version);
  return gpu;
}

int64_t free_bytes_of_current() {
  size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return static_cast<int64_t>(free_bytes);
}

std::string capability_text(const cudaDeviceProp& properties) {
  return std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

// Best of a few runs, in seconds.
template <class Put>
Result<double> fastest(cuda::Queue& queue, Put&& put) {
  cudaEvent_t begin = nullptr, end = nullptr;
  queue.note(cudaEventCreate(&begin), "an event");
  queue.note(cudaEventCreate(&end), "an event");
  float least = 1e30f;
  for (int run = 0; run < 6; ++run) {
    queue.note(cudaEventRecord(begin, queue.stream()), "an event");
    put();
    queue.note(cudaEventRecord(end, queue.stream()), "an event");
    LYRE_RETURN_IF_ERROR(queue.finish());
    float milliseconds = 0;
    queue.note(cudaEventElapsedTime(&milliseconds, begin, end), "an event");
    if (run > 0) least = std::min(least, milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return static_cast<double>(least) * 1e-3;
}

}  // namespace

bool built_with_cuda() noexcept { return true; }

std::vector<Gpu> list_gpus() {
  std::vector<Gpu> gpus;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return gpus;
  }
  for (int index = 0; index < count; ++index) {
    const auto gpu = cuda::select_device(index);
    if (gpu) gpus.push_back(*gpu);
  }
  return gpus;
}

Result<GpuBandwidth> measure_gpu_bandwidth(int index) {
  LYRE_ASSIGN_OR_RETURN(const Gpu gpu, cuda::select_device(index));
  constexpr int64_t kBytes = int64_t{1} << 30, kUploadBytes = int64_t{64} << 20;
  LYRE_ASSIGN_OR_RETURN(cuda::DeviceMemory from, cuda::DeviceMemory::allocate(kBytes, "bandwidth"));
  LYRE_ASSIGN_OR_RETURN(cuda::DeviceMemory to, cuda::DeviceMemory::allocate(kBytes, "bandwidth"));
  LYRE_ASSIGN_OR_RETURN(cuda::PinnedMemory host,
                        cuda::PinnedMemory::allocate(kUploadBytes, "bandwidth"));
  LYRE_ASSIGN_OR_RETURN(cuda::Queue queue, cuda::Queue::create(cuda::Queue::Priority::kNormal));
  queue.fill_bytes(from.data(), 0x5a, kBytes);
  const auto blocks = static_cast<unsigned>(gpu.multiprocessors * 4);
  LYRE_ASSIGN_OR_RETURN(const double read, fastest(queue, [&] {
                          queue.launch({"read", kBytes, 0}, {.grid = {blocks}, .block = {512}},
                                       read_kernel, from.as<uint4>(),
                                       kBytes / int64_t{sizeof(uint4)}, to.as<uint32_t>());
                        }));
  LYRE_ASSIGN_OR_RETURN(const double copy, fastest(queue, [&] {
                          queue.note(cudaMemcpyAsync(to.data(), from.data(), kBytes,
                                                     cudaMemcpyDeviceToDevice, queue.stream()),
                                     "a copy");
                        }));
  LYRE_ASSIGN_OR_RETURN(const double upload, fastest(queue, [&] {
                          queue.copy_to_device(to.data(), host.data(), kUploadBytes);
                        }));
  return GpuBandwidth{static_cast<double>(kBytes) / read, 2.0 * static_cast<double>(kBytes) / copy,
                      static_cast<double>(kUploadBytes) / upload};
}

namespace cuda {

Result<Gpu> select_device(int index) {
  int count = 0;
  LYRE_RETURN_IF_ERROR(status_of(cudaGetDeviceCount(&count), "looking for GPUs"));
  if (index < 0 || index >= count) {
    return Error{ErrorCode::kNotFound, "device: expected a GPU from 0 to " +
                                           std::to_string(count - 1) + ", found " +
                                           std::to_string(index)};
  }
  cudaDeviceProp properties;
  LYRE_RETURN_IF_ERROR(status_of(cudaGetDeviceProperties(&properties, index), "asking the GPU"));
  LYRE_RETURN_IF_ERROR(status_of(cudaSetDevice(index), "selecting the GPU"));
  cudaFuncAttributes attributes;
  if (properties.major < kLeastMajor ||
      cudaFuncGetAttributes(&attributes, probe_kernel) != cudaSuccess) {
    cudaGetLastError();
    return Error{ErrorCode::kUnavailable,
                 std::string("device: ") + properties.name + " has compute capability " +
                     capability_text(properties) +
                     ", for which this build has no machine code (LYRE_CUDA_ARCHITECTURES)"};
  }
  Gpu gpu = describe(index, properties);
  gpu.free_bytes = free_bytes_of_current();
  return gpu;
}

}  // namespace cuda
}  // namespace lyre
