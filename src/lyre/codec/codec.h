#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/warmup.h"
#include "lyre/codec/code_frame.h"

namespace lyre {

/// Index of an open stream, reused after close.
using StreamId = int32_t;

struct StreamOptions {
  uint64_t noise_seed = 0;
  bool noise = true;  // false: zeros, for goldens
};

/// Frames for one stream in one push.
struct CodecWork {
  StreamId stream = -1;
  std::span<const CodeFrame> frames;
  bool finish = false;   // the speech ends after these frames: everything left is flushed with the
                         // true edge padding
  bool preview = false;  // also decode what is not final yet, as if the speech ended here; leaves
                         // the stream's state as it is
};

/// Samples of one stream, in [-1, 1]; they live until the next push of the codec.
struct PcmSpan {
  std::span<const float> final_samples;    // follow the earlier final samples without gap
  std::span<const float> preview_samples;  // follow final_samples; provisional
};

struct CodecInfo {
  int sample_rate_hz = 0;
  int codebook_size = 0;
  int samples_per_frame = 0;     // 2,048
  int most_frames_per_push = 0;  // of one stream
  int max_streams = 0;
  int64_t parameters = 0;  // decoder
  int64_t weight_bytes = 0;
  int64_t stream_state_bytes = 0;  // one stream
  int final_delay_samples =
      0;  // pushed but not yet final, at most: the right half of the receptive field
  bool every_shape_pays = true;  // as LanguageModelInfo
  std::string backend;
};

/// Seam: reference | cpu | cuda. Engine thread only; allocates at open only.
/// The concatenated final samples of a stream equal the whole-utterance decode with the same noise,
/// for any chunking and any neighbours; N frames give exactly N * samples_per_frame samples. Noise
/// is keyed by (noise_seed, block, absolute time step), see codec/noise.h.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual const CodecInfo& info() const noexcept = 0;
  virtual Result<StreamId> open(const StreamOptions& options) = 0;
  virtual void close(StreamId stream) noexcept = 0;
  virtual int free_streams() const noexcept = 0;
  /// pcm.size() == batch.size(); a stream occurs at most once in a batch. kInvalidArgument for a
  /// code out of range (before any state has changed); after finish only close() is allowed.
  virtual Status push(std::span<const CodecWork> batch, std::span<PcmSpan> pcm) = 0;
  /// As LanguageModel::warmup_steps().
  virtual std::vector<WarmupStep> warmup_steps() { return {}; }
};

}  // namespace lyre
