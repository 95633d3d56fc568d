#include <memory>
#include <random>

#include "lyre/base/clock.h"
#include "lyre/base/thread_pool.h"
#include "lyre/engine/benchmark.h"
#include "lyre/engine/measurement.h"
#include "lyre/engine/open_models.h"

namespace lyre {
namespace {

/// Streams that are fed random codes, one frame each a push, as the engine feeds them.
class Streams {
 public:
  Streams(Codec& codec, int streams) : codec_(codec) {
    work_.resize(static_cast<size_t>(streams));
    frames_.resize(work_.size());
    pcm_.resize(work_.size());
  }
  ~Streams() {
    for (const CodecWork& work : work_) {
      if (work.stream >= 0) codec_.close(work.stream);
    }
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  Status open() {
    for (size_t i = 0; i < work_.size(); ++i) {
      LYRE_ASSIGN_OR_RETURN(work_[i].stream, codec_.open({.noise_seed = i, .noise = true}));
      work_[i].frames = {&frames_[i], 1};
    }
    return ok_status();
  }

  /// Milliseconds of one push.
  Result<double> push() {
    std::uniform_int_distribution<int32_t> code(0, codec_.info().codebook_size - 1);
    for (CodeFrame& frame : frames_) {
      for (int32_t& value : frame.codes) value = code(random_);
    }
    const TimePoint start = Clock::now();
    LYRE_RETURN_IF_ERROR(codec_.push(work_, pcm_));
    return milliseconds_since(start);
  }

 private:
  Codec& codec_;
  std::mt19937 random_{1};
  std::vector<CodecWork> work_;
  std::vector<CodeFrame> frames_;
  std::vector<PcmSpan> pcm_;
};

}  // namespace

Result<CodecSpeed> measure_codec(const EngineConfig& config, const CodecBenchmark& benchmark) {
  LYRE_RETURN_IF_ERROR(require_positive("streams", benchmark.streams));
  LYRE_RETURN_IF_ERROR(require_positive("frames", benchmark.frames));
  EngineConfig sized = config;
  sized.max_batch = benchmark.streams;
  ThreadPool threads(config.threads);
  LYRE_ASSIGN_OR_RETURN(const auto codec, open_configured_codec(sized, threads));
  Streams streams(*codec, benchmark.streams);
  LYRE_RETURN_IF_ERROR(streams.open());
  // Until every layer works on whole frames.
  constexpr int kWarmUpPushes = 6;
  for (int i = 0; i < kWarmUpPushes; ++i) LYRE_RETURN_IF_ERROR(streams.push());
  std::vector<double> push_ms;
  double total_ms = 0;
  for (int i = 0; i < benchmark.frames; ++i) {
    LYRE_ASSIGN_OR_RETURN(const double ms, streams.push());
    push_ms.push_back(ms);
    total_ms += ms;
  }
  CodecSpeed speed;
  speed.streams = benchmark.streams;
  speed.frames_per_s = 1000.0 * benchmark.streams * benchmark.frames / total_ms;
  speed.frame_ms_p50 = median(push_ms);
  const CodecInfo& info = codec->info();
  speed.real_time_factor =
      static_cast<double>(info.sample_rate_hz) / info.samples_per_frame / speed.frames_per_s;
  speed.backend = info.backend;
  return speed;
}

}  // namespace lyre
