#include "lyre/codec/reference/reference_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lyre/codec/noise.h"
#include "lyre/codec/reference/snac_decode.h"
#include "lyre/codec/snac_geometry.h"
#include "lyre/codec/stream_table.h"

namespace lyre {
namespace {

class ReferenceCodec final : public Codec {
 public:
  ReferenceCodec(SnacDecoderWeights weights, int max_streams, int most_frames_per_push)
      : weights_(std::move(weights)),
        table_(max_streams),
        streams_(static_cast<size_t>(max_streams)) {
    const SnacConfig& c = weights_.config;
    info_.sample_rate_hz = c.sampling_rate_hz;
    info_.codebook_size = c.codebook_size;
    info_.samples_per_frame = c.samples_per_frame();
    info_.most_frames_per_push = most_frames_per_push;
    info_.max_streams = max_streams;
    info_.parameters = weights_.parameters();
    info_.weight_bytes = info_.parameters * static_cast<int64_t>(sizeof(float));
    info_.final_delay_samples = static_cast<int>(final_delay_samples(c));
    info_.backend = "reference";
  }

  const CodecInfo& info() const noexcept override { return info_; }

  Result<StreamId> open(const StreamOptions& options) override {
    LYRE_ASSIGN_OR_RETURN(const StreamId id, table_.open());
    streams_[static_cast<size_t>(id)] = Stream{options, {}, {}, 0};
    return id;
  }

  void close(StreamId stream) noexcept override { table_.close(stream); }
  int free_streams() const noexcept override { return table_.free(); }

  Status push(std::span<const CodecWork> batch, std::span<PcmSpan> pcm) override {
    LYRE_RETURN_IF_ERROR(table_.check(batch, pcm, info_));
    for (size_t i = 0; i < batch.size(); ++i) {
      const CodecWork& work = batch[i];
      Stream& s = streams_[static_cast<size_t>(work.stream)];
      s.frames.insert(s.frames.end(), work.frames.begin(), work.frames.end());
      s.pcm = reference::decode(weights_, s.frames, [&](int block, std::span<float> out) {
        if (s.options.noise) fill_noise(s.options.noise_seed, block, 0, out);
      });
      const auto latents =
          static_cast<int64_t>(s.frames.size()) * weights_.config.latents_per_frame();
      const int64_t final_end = work.finish ? static_cast<int64_t>(s.pcm.size())
                                            : final_samples(weights_.config, latents);
      const std::span<const float> whole = s.pcm;
      pcm[i].final_samples =
          whole.subspan(static_cast<size_t>(s.given), static_cast<size_t>(final_end - s.given));
      pcm[i].preview_samples =
          work.preview ? whole.subspan(static_cast<size_t>(final_end)) : std::span<const float>{};
      s.given = final_end;
      if (work.finish) table_.finish(work.stream);
    }
    return ok_status();
  }

 private:
  struct Stream {
    StreamOptions options;
    std::vector<CodeFrame> frames;
    std::vector<float> pcm;  // of the whole stream so far, as if it ended here
    int64_t given = 0;       // samples handed out as final
  };

  SnacDecoderWeights weights_;
  CodecInfo info_;
  StreamTable table_;
  std::vector<Stream> streams_;  // by StreamId
};

}  // namespace

std::unique_ptr<Codec> make_reference_codec(SnacDecoderWeights weights, int max_streams,
                                            int most_frames_per_push) {
  return std::make_unique<ReferenceCodec>(std::move(weights), max_streams, most_frames_per_push);
}

}  // namespace lyre
