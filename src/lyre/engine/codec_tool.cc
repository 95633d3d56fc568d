#include "lyre/engine/codec_tool.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lyre/base/thread_pool.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_encoder.h"
#include "lyre/engine/open_models.h"

namespace lyre {
namespace {

/// Closes the stream of one decode, also when that fails.
class OpenStream {
 public:
  OpenStream(Codec& codec, StreamId stream) : codec_(codec), stream_(stream) {}
  ~OpenStream() { codec_.close(stream_); }
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;

 private:
  Codec& codec_;
  StreamId stream_;
};

}  // namespace

class CodecTool::Impl {
 public:
  Impl(std::filesystem::path folder, std::unique_ptr<ThreadPool> threads,
       std::unique_ptr<Codec> codec)
      : folder_(std::move(folder)), threads_(std::move(threads)), codec_(std::move(codec)) {}

  const CodecInfo& info() const noexcept { return codec_->info(); }

  Result<std::vector<FrameCodes>> encode(std::span<const float> samples, int sample_rate_hz) {
    if (sample_rate_hz != info().sample_rate_hz) {
      return Error{ErrorCode::kInvalidArgument,
                   "sample rate: expected " + std::to_string(info().sample_rate_hz) +
                       " Hz, which the codec was made for, found " +
                       std::to_string(sample_rate_hz) + " Hz; convert the file first"};
    }
    if (!encoder_) {
      LYRE_ASSIGN_OR_RETURN(encoder_, SnacEncoder::open(folder_, *threads_));
    }
    LYRE_ASSIGN_OR_RETURN(const std::vector<CodeFrame> frames, encoder_->encode(samples));
    std::vector<FrameCodes> codes;
    codes.reserve(frames.size());
    for (const CodeFrame& frame : frames) codes.push_back(frame.codes);
    return codes;
  }

  Result<std::vector<float>> decode(std::span<const FrameCodes> frames,
                                    std::optional<uint64_t> noise_seed) {
    LYRE_ASSIGN_OR_RETURN(const StreamId id, codec_->open({.noise_seed = noise_seed.value_or(0),
                                                           .noise = noise_seed.has_value()}));
    const OpenStream closing(*codec_, id);
    std::vector<float> samples;
    samples.reserve(frames.size() * static_cast<size_t>(info().samples_per_frame));
    std::vector<CodeFrame> part;
    const auto most = static_cast<size_t>(info().most_frames_per_push);
    do {
      const auto taken = frames.first(std::min(most, frames.size()));
      frames = frames.subspan(taken.size());
      part.clear();
      for (const FrameCodes& codes : taken) part.push_back({codes});
      CodecWork work;
      work.stream = id;
      work.frames = part;
      work.finish = frames.empty();
      PcmSpan pcm;
      LYRE_RETURN_IF_ERROR(codec_->push({&work, 1}, {&pcm, 1}));
      samples.insert(samples.end(), pcm.final_samples.begin(), pcm.final_samples.end());
    } while (!frames.empty());
    return samples;
  }

 private:
  const std::filesystem::path folder_;
  const std::unique_ptr<ThreadPool> threads_;
  const std::unique_ptr<Codec> codec_;
  std::unique_ptr<SnacEncoder> encoder_;  // opened by the first encode
};

CodecTool::CodecTool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CodecTool::CodecTool(CodecTool&&) noexcept = default;
CodecTool& CodecTool::operator=(CodecTool&&) noexcept = default;
CodecTool::~CodecTool() = default;

Result<CodecTool> CodecTool::open(const std::filesystem::path& codec_folder, BackendChoice backend,
                                  int threads, int device) {
  EngineConfig config;
  config.codec = codec_folder;
  config.backend = backend;
  config.device = device;
  config.max_batch = 1;
  auto pool = std::make_unique<ThreadPool>(threads);
  LYRE_ASSIGN_OR_RETURN(auto codec, open_configured_codec(config, *pool));
  return CodecTool(std::make_unique<Impl>(codec_folder, std::move(pool), std::move(codec)));
}

int CodecTool::sample_rate_hz() const noexcept { return impl_->info().sample_rate_hz; }
int CodecTool::codebook_size() const noexcept { return impl_->info().codebook_size; }
int CodecTool::samples_per_frame() const noexcept { return impl_->info().samples_per_frame; }

Result<std::vector<FrameCodes>> CodecTool::encode(std::span<const float> samples,
                                                  int sample_rate_hz) {
  return impl_->encode(samples, sample_rate_hz);
}

Result<std::vector<float>> CodecTool::decode(std::span<const FrameCodes> frames,
                                             std::optional<uint64_t> noise_seed) {
  return impl_->decode(frames, noise_seed);
}

}  // namespace lyre
