#include "lyre/codec/cpu/cpu_codec.h"

#include <algorithm>
#include <string>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/codec/cpu/pipeline.h"
#include "lyre/codec/stream_table.h"

namespace lyre {
namespace {

using snac_cpu::AlignedFloats;
using snac_cpu::DecoderPlan;
using snac_cpu::Piece;
using snac_cpu::Pipeline;

// Frames that go through the layers together; 4, 8 and 16 measure the same. The large weights of
// the first block are read once a round (1 ms of memory traffic against 2 to 4 ms of arithmetic a
// frame) and work memory grows with it.
constexpr int kRoundFrames = 8;

struct CpuStream {
  AlignedFloats state;  // (plan.state_floats)
  int64_t latents = 0;  // received
  StreamOptions options;
};

class CpuCodec final : public Codec {
 public:
  CpuCodec(const SnacDecoderWeights& weights, const CpuCodecOptions& options, ThreadPool& threads)
      : plan_(weights, threads),
        drain_frames_(Pipeline::drain_frames(weights.config)),
        round_frames_(std::max(kRoundFrames, drain_frames_ + 1)),
        pipeline_(plan_, threads, round_frames_, round_frames_),
        streams_(options.max_streams),
        states_(static_cast<size_t>(options.max_streams)) {
    const SnacConfig& c = plan_.config;
    info_.sample_rate_hz = c.sampling_rate_hz;
    info_.codebook_size = c.codebook_size;
    info_.samples_per_frame = c.samples_per_frame();
    info_.most_frames_per_push = options.most_frames_per_push;
    info_.max_streams = options.max_streams;
    info_.parameters = plan_.parameters;
    info_.weight_bytes = plan_.weight_bytes;
    info_.stream_state_bytes = plan_.state_floats * static_cast<int64_t>(sizeof(float));
    info_.final_delay_samples = static_cast<int>(final_delay_samples(c));
    info_.every_shape_pays = false;
    info_.backend = "cpu";
    for (CpuStream& s : states_) s.state = AlignedFloats(plan_.state_floats);
    preview_states_.resize(static_cast<size_t>(round_frames_ / drain_frames_));
    for (AlignedFloats& state : preview_states_) state = AlignedFloats(plan_.state_floats);
    // A push gives at most its own frames and what was pending before; a preview the pending again.
    pcm_stride_ =
        int64_t{options.most_frames_per_push} * c.samples_per_frame() + 2 * final_delay_samples(c);
    pcm_.resize(static_cast<size_t>(pcm_stride_ * options.max_streams));
    round_.reserve(static_cast<size_t>(round_frames_));
    round_items_.reserve(static_cast<size_t>(round_frames_));
    progress_.resize(static_cast<size_t>(options.max_streams));
  }

  const CodecInfo& info() const noexcept override { return info_; }

  Result<StreamId> open(const StreamOptions& options) override {
    LYRE_ASSIGN_OR_RETURN(const StreamId id, streams_.open());
    CpuStream& s = states_[static_cast<size_t>(id)];
    std::fill_n(s.state.data(), s.state.size(), 0.0f);
    s.latents = 0;
    s.options = options;
    return id;
  }

  void close(StreamId stream) noexcept override { streams_.close(stream); }
  int free_streams() const noexcept override { return streams_.free(); }

  Status push(std::span<const CodecWork> batch, std::span<PcmSpan> pcm) override {
    LYRE_RETURN_IF_ERROR(streams_.check(batch, pcm, info_));
    std::fill_n(progress_.begin(), batch.size(), Progress{});
    run_rounds(batch);
    for (size_t i = 0; i < batch.size(); ++i) {
      Progress& p = progress_[i];
      pcm[i].final_samples = {pcm_of(i), static_cast<size_t>(p.samples)};
      pcm[i].preview_samples = {};
      p.final_samples = p.samples;
      p.drained = !(batch[i].preview && !batch[i].finish);
      if (batch[i].finish) streams_.finish(batch[i].stream);
    }
    run_previews(batch);
    for (size_t i = 0; i < batch.size(); ++i) {
      const Progress& p = progress_[i];
      pcm[i].preview_samples = {pcm_of(i) + p.final_samples,
                                static_cast<size_t>(p.samples - p.final_samples)};
    }
    return ok_status();
  }

 private:
  struct Progress {  // of one item of the batch
    size_t frames = 0;
    int64_t samples = 0;
    int64_t final_samples = 0;
    bool drained = false;
  };

  float* pcm_of(size_t item) { return pcm_.data() + static_cast<int64_t>(item) * pcm_stride_; }

  // Fills rounds in order of the batch, a stream at most once a round, until all is done.
  void run_rounds(std::span<const CodecWork> batch) {
    while (true) {
      int room = round_frames_;
      begin_round();
      for (size_t i = 0; i < batch.size() && room > 0; ++i) {
        const CodecWork& work = batch[i];
        Progress& p = progress_[i];
        const auto frames = std::min<int>(room, static_cast<int>(work.frames.size() - p.frames));
        const bool all = p.frames + static_cast<size_t>(frames) == work.frames.size();
        const bool finish = work.finish && !p.drained && all && frames + drain_frames_ <= room;
        if (frames == 0 && !finish) continue;
        CpuStream& stream = states_[static_cast<size_t>(work.stream)];
        add_piece(i, stream, stream.state.data(),
                  work.frames.subspan(p.frames, static_cast<size_t>(frames)), finish);
        p.frames += static_cast<size_t>(frames);
        p.drained = finish;
        room -= frames + (finish ? drain_frames_ : 0);
      }
      if (round_.empty()) return;
      run_round();
    }
  }

  void run_previews(std::span<const CodecWork> batch) {
    while (true) {
      int room = round_frames_;
      begin_round();
      for (size_t i = 0; i < batch.size() && room >= drain_frames_; ++i) {
        if (progress_[i].drained) continue;
        // On a copy of the state: the stream itself goes on from where it was.
        CpuStream& stream = states_[static_cast<size_t>(batch[i].stream)];
        AlignedFloats& copy = preview_states_[round_.size()];
        std::copy_n(stream.state.data(), stream.state.size(), copy.data());
        add_piece(i, stream, copy.data(), {}, true);
        progress_[i].drained = true;
        room -= drain_frames_;
      }
      if (round_.empty()) return;
      run_round();
    }
  }

  void begin_round() {
    round_.clear();
    round_items_.clear();
  }

  void add_piece(size_t item, CpuStream& stream, float* state, std::span<const CodeFrame> frames,
                 bool finish) {
    Piece piece;
    piece.state = state;
    piece.latents_received = stream.latents;
    piece.frames = frames;
    piece.finish = finish;
    piece.noise = stream.options.noise;
    piece.noise_seed = stream.options.noise_seed;
    piece.pcm = pcm_of(item) + progress_[item].samples;
    round_.push_back(piece);
    round_items_.push_back(item);
    stream.latents += static_cast<int64_t>(frames.size()) * plan_.config.latents_per_frame();
  }

  void run_round() {
    pipeline_.run(round_);
    for (size_t k = 0; k < round_.size(); ++k) {
      progress_[round_items_[k]].samples += round_[k].samples;
    }
  }

  DecoderPlan plan_;
  int drain_frames_;
  int round_frames_;
  Pipeline pipeline_;
  CodecInfo info_;
  StreamTable streams_;
  std::vector<CpuStream> states_;              // by StreamId
  std::vector<AlignedFloats> preview_states_;  // one a preview of a round
  int64_t pcm_stride_ = 0;
  std::vector<float> pcm_;          // (max_streams, pcm_stride)
  std::vector<Progress> progress_;  // one an item of the batch
  std::vector<Piece> round_;
  std::vector<size_t> round_items_;  // item of the batch of each piece
};

}  // namespace

std::unique_ptr<Codec> make_cpu_codec(const SnacDecoderWeights& weights,
                                      const CpuCodecOptions& options, ThreadPool& threads) {
  return std::make_unique<CpuCodec>(weights, options, threads);
}

}  // namespace lyre
