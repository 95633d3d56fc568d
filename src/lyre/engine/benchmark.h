#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre {

/// Raw throughput of the parts below the engine, for `lyre bench`. Each call opens what it needs,
/// warms it up, and measures with `config.threads` threads and the backend of the configuration.

struct LanguageModelSpeed {
  int batch = 0;
  int context_tokens = 0;           // at the start of the measured decode
  double prefill_tokens_per_s = 0;  // one prompt
  double decode_tokens_per_s = 0;   // over the whole batch
  double step_ms_p50 = 0;
  int64_t bytes_per_step = 0;  // that must be read: weights of a step once, KV of every sequence
  double gb_per_s = 0;         // bytes_per_step by the median step
  std::string backend, weights;
};
struct LanguageModelBenchmark {
  int batch = 1;
  int prompt_tokens = 48;
  int decode_tokens = 128;
};
Result<LanguageModelSpeed> measure_language_model(const EngineConfig& config,
                                                  const LanguageModelBenchmark& benchmark);

struct CodecSpeed {
  int streams = 0;
  double frames_per_s = 0;      // over all streams, one frame of each a push
  double frame_ms_p50 = 0;      // one push
  double real_time_factor = 0;  // seconds of work for a second of audio
  std::string backend;
};
struct CodecBenchmark {
  int streams = 1;
  int frames = 64;  // of each stream
};
Result<CodecSpeed> measure_codec(const EngineConfig& config, const CodecBenchmark& benchmark);

/// Memory read bandwidth of this machine: the sum over a buffer far larger than the caches, by the
/// same threads; the best of several runs. The yardstick of decode speed.
Result<double> measure_memory_gb_per_s(int threads, int64_t buffer_bytes = int64_t{512} << 20);

}  // namespace lyre
