#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre::command {

/// What one reader saw of one request.
struct ProfiledRequest {
  double first_audio_ms = 0;  // submit until the reader has samples
  double total_ms = 0;        // submit until the last samples
  double audio_s = 0;
  int64_t tokens = 0;  // speech tokens drawn
  int64_t frames = 0;
  bool cut = false;                    // at a limit of tokens
  std::vector<int64_t> chunk_samples;  // of each read, in order
};

struct ProfileLoad {
  int runs = 1;     // requests of each stream, one after another
  int streams = 1;  // at the same time, each read by a thread as fast as its audio comes
};

/// Request i speaks texts[i % size] with seed i + 1, or with the engine's own seed if `seeded`. In
/// order of the streams. The first error of any request ends them all.
Result<std::vector<ProfiledRequest>> profile_requests(Engine& engine,
                                                      std::span<const std::string> texts,
                                                      const ProfileLoad& load, bool seeded);

/// Sizes in which audio came to its readers.
struct ChunkSizes {
  int64_t count = 0, samples = 0, min = 0, max = 0;
  double mean() const {
    return count == 0 ? 0 : static_cast<double>(samples) / static_cast<double>(count);
  }
};
ChunkSizes chunk_sizes(std::span<const ProfiledRequest> requests);

}  // namespace lyre::command
