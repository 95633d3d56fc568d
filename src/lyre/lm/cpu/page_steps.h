#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/thread_pool.h"
#include "lyre/base/warmup.h"

namespace lyre::cpu {

// Steps of the warm-up that bring memory in, all threads of the pool together. They give way to
// running requests (Progress::kMore) after this much for each thread, some 10 ms.
inline constexpr int64_t kPageStepBytes = int64_t{64} << 20;

/// What write_pages_step() leaves to everyone else.
inline constexpr int64_t kSpareMemoryBytes = int64_t{128} << 20;

/// Reads ranges of mapped files. They must outlive the step.
WarmupStep read_pages_step(std::string name, std::vector<std::span<const std::byte>> ranges,
                           ThreadPool& threads);

/// Takes memory that has been mapped but not touched, for good, as long as `available` (see
/// available_memory_bytes()) says that kSpareMemoryBytes remain; else it fails when it has taken
/// what there is, and the pages that are missing come when they are first used. Called again, it
/// goes on where it ended.
WarmupStep write_pages_step(std::string name, std::span<std::byte> memory, ThreadPool& threads,
                            std::function<std::optional<int64_t>()> available);

}  // namespace lyre::cpu
