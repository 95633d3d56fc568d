#include "lyre/engine/chosen_backend.h"

#include "lyre/base/cuda/gpus.h"

namespace lyre {

BackendChoice chosen_backend(BackendChoice choice) {
  if (choice != BackendChoice::kAuto) return choice;
  return list_gpus().empty() ? BackendChoice::kCpu : BackendChoice::kCuda;
}

std::string chosen_device(const EngineConfig& config) {
  if (chosen_backend(config.backend) != BackendChoice::kCuda) return {};
  for (const Gpu& gpu : list_gpus()) {
    if (gpu.index == config.device) return gpu.name;
  }
  return {};
}

}  // namespace lyre
