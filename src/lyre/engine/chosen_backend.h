#pragma once

#include <string>

#include "lyre/engine/engine.h"

namespace lyre {

/// What BackendChoice::kAuto stands for on this machine: the GPU if this build has CUDA backends
/// and there is one, else the CPU. Others are what they are. The first call of kAuto waits for the
/// driver to start.
BackendChoice chosen_backend(BackendChoice choice);

/// The name of the GPU that a configuration computes on, "NVIDIA H200"; empty for other backends.
std::string chosen_device(const EngineConfig& config);

/// EngineConfig::max_batch of the command on a GPU, unless it is set: a step reads the weights once
/// for all sequences, and so many still take little longer than one.
inline constexpr int kGpuMaxBatch = 64;

}  // namespace lyre
