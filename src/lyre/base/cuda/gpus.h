#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// A GPU as the driver describes it. No CUDA type: for whoever chooses or prints one.
struct Gpu {
  int index = 0;
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int capability_major = 0;  // compute capability
  int capability_minor = 0;
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;  // now, over all processes
  int64_t l2_bytes = 0;
  int driver_version = 0;  // newest CUDA that the driver runs, 13000 for 13.0
};

/// GPUs that this build can use, by index; empty without a driver, a GPU or a CUDA backend. The
/// first call takes as long as the driver needs to start. Any thread.
std::vector<Gpu> list_gpus();

/// True if this build has CUDA backends.
bool built_with_cuda() noexcept;

struct GpuBandwidth {
  double read_bytes_per_second = 0;    // a kernel that reads everything once
  double copy_bytes_per_second = 0;    // device to device, read and written counted
  double upload_bytes_per_second = 0;  // from pinned memory
};

/// Measures with buffers of 1 GiB; some 0.2 s. kNotFound, kUnavailable, kResourceExhausted.
Result<GpuBandwidth> measure_gpu_bandwidth(int index);

}  // namespace lyre
