#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lyre/base/cuda/gpus.h"
#include "lyre/base/result.h"
#include "lyre/engine/device_fit.h"
#include "lyre/engine/inspect.h"

namespace lyre::command {

/// A GPU, and what of a model fits on it.
struct DeviceReport {
  Gpu gpu;
  Result<GpuBandwidth> bandwidth;
  std::vector<DeviceFit> fits;  // none without a language model
};

/// Every GPU, or the one of that index. kNotFound, kUnavailable: there is none, and why.
Result<std::vector<Gpu>> find_gpus(std::optional<int> index);

/// Measures each.
std::vector<DeviceReport> inspect_devices(const std::vector<Gpu>& gpus, const ModelReport& model);

void print(const DeviceReport& report);
/// A JSON array.
std::string to_json(const std::vector<DeviceReport>& reports);

}  // namespace lyre::command
