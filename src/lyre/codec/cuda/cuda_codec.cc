#include "lyre/codec/cuda/cuda_codec.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lyre/base/cuda/device.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/base/cuda/status.h"
#include "lyre/codec/cuda/decoder.h"
#include "lyre/codec/cuda/push_rounds.h"
#include "lyre/codec/cuda/stream_plan.h"
#include "lyre/codec/stream_table.h"

namespace lyre {
namespace {

using cuda::Graph;
using cuda::PinnedMemory;
using cuda::Queue;
using snac_cuda::Decoder;
using snac_cuda::PushedSamples;
using snac_cuda::PushedStream;
using snac_cuda::Slot;
using snac_cuda::StreamPlan;

// Sizes of rounds for which a graph is captured; a smaller round takes the next, with unused slots,
// whose blocks end at once.
constexpr int kBuckets[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256};
// A first push with a preview has four slots; two of them still go together.
constexpr int kLeastSlots = 8;

int bucket_of(int slots) {
  return *std::lower_bound(std::begin(kBuckets), std::end(kBuckets), slots);
}

class CudaCodec final : public Codec {
 public:
  CudaCodec(Decoder decoder, Queue queue, PinnedMemory slots, PinnedMemory pcm,
            const SnacDecoderWeights& weights, const CodecOptions& options, int most_slots,
            const std::string& gpu)
      : device_(options.device),
        decoder_(std::move(decoder)),
        queue_(std::move(queue)),
        host_slots_(std::move(slots)),
        host_pcm_(std::move(pcm)),
        most_slots_(most_slots),
        slots_(host_slots_.as<Slot>(),
               static_cast<size_t>(host_slots_.size_bytes()) / sizeof(Slot)),
        table_(options.max_streams),
        streams_(static_cast<size_t>(options.max_streams)),
        pushed_(static_cast<size_t>(options.max_streams)),
        graphs_(std::size(kBuckets)) {
    const SnacConfig& c = weights.config;
    info_.sample_rate_hz = c.sampling_rate_hz;
    info_.codebook_size = c.codebook_size;
    info_.samples_per_frame = c.samples_per_frame();
    info_.most_frames_per_push = options.most_frames_per_push;
    info_.max_streams = options.max_streams;
    info_.parameters = weights.parameters();
    info_.weight_bytes = decoder_.weight_bytes();
    info_.stream_state_bytes = 2 * decoder_.plan().state_bytes;
    info_.final_delay_samples = static_cast<int>(final_delay_samples(c));
    info_.every_shape_pays = true;
    info_.backend = "cuda " + gpu;
  }

  ~CudaCodec() override { cudaSetDevice(device_); }

  const CodecInfo& info() const noexcept override { return info_; }

  Result<StreamId> open(const StreamOptions& options) override {
    LYRE_ASSIGN_OR_RETURN(const StreamId id, table_.open());
    // What its state holds is not read before it is written.
    streams_[static_cast<size_t>(id)] = {0, 0, options};
    return id;
  }

  void close(StreamId stream) noexcept override { table_.close(stream); }
  int free_streams() const noexcept override { return table_.free(); }

  Status push(std::span<const CodecWork> batch, std::span<PcmSpan> pcm) override {
    LYRE_RETURN_IF_ERROR(table_.check(batch, pcm, info_));
    LYRE_RETURN_IF_ERROR(select());
    float* const samples = host_pcm_.as<float>();
    const StreamPlan& plan = decoder_.plan();
    float* next = samples;
    const auto run_and_copy = [&](std::span<Slot> round) {
      const Status status = run(round);
      const auto made = static_cast<int64_t>(round.size()) * plan.samples;
      queue_.copy_to_host(next, decoder_.pcm(), made * int64_t{sizeof(float)});
      next += made;
      return status;
    };
    LYRE_RETURN_IF_ERROR(snac_cuda::for_each_round(plan, batch, streams_, most_slots_, slots_,
                                                   pushed_, run_and_copy));
    LYRE_RETURN_IF_ERROR(queue_.finish());
    for (size_t i = 0; i < batch.size(); ++i) {
      const PushedSamples at = samples_of(plan, batch[i], pushed_[i]);
      pcm[i].final_samples = {samples + at.begin, samples + at.final_end};
      pcm[i].preview_samples = {samples + at.final_end, samples + at.end};
      if (batch[i].finish) table_.finish(batch[i].stream);
    }
    return ok_status();
  }

  std::vector<WarmupStep> warmup_steps() override {
    std::vector<WarmupStep> steps;
    for (const int bucket : kBuckets) {
      if (bucket > most_slots_) break;
      WarmupStep& step = steps.emplace_back();
      step.name = "codec.graph." + std::to_string(bucket);
      step.run = [this, bucket]() -> Result<WarmupStep::Progress> {
        LYRE_RETURN_IF_ERROR(select());
        // A round of unused slots: kernels and graph are on the device then, and no state changes.
        std::fill_n(slots_.begin(), bucket, Slot{});
        LYRE_RETURN_IF_ERROR(run(slots_.first(static_cast<size_t>(bucket))));
        LYRE_RETURN_IF_ERROR(queue_.finish());
        return WarmupStep::Progress::kDone;
      };
    }
    return steps;
  }

 private:
  // The engine's thread need not be the one that opened the codec.
  Status select() const { return cuda::status_of(cudaSetDevice(device_), "selecting the GPU"); }

  // Slots behind the round, up to the size of its bucket, are in pinned memory too.
  Status run(std::span<Slot> round) {
    const auto count = static_cast<int>(round.size());
    const int bucket = bucket_of(count);
    std::fill_n(round.data() + count, bucket - count, Slot{});
    Graph& graph = graphs_[static_cast<size_t>(
        std::lower_bound(std::begin(kBuckets), std::end(kBuckets), bucket) - std::begin(kBuckets))];
    if (graph.empty()) {
      LYRE_ASSIGN_OR_RETURN(
          graph, Graph::capture(queue_, [&](Queue& queue) { decoder_.put(queue, bucket); }));
    }
    queue_.copy_to_device(decoder_.slots(), round.data(), bucket * int64_t{sizeof(Slot)});
    graph.launch(queue_);
    return queue_.status();
  }

  const int device_;
  Decoder decoder_;
  Queue queue_;
  PinnedMemory host_slots_;  // all rounds of a push
  PinnedMemory host_pcm_;    // all slots of a push
  const int most_slots_;     // of a round: one of kBuckets
  std::span<Slot> slots_;    // (rounds, most_slots)
  CodecInfo info_;
  StreamTable table_;
  std::vector<snac_cuda::Stream> streams_;  // by StreamId
  std::vector<PushedStream> pushed_;        // by item of the batch
  std::vector<Graph> graphs_;               // by bucket
};

}  // namespace

Result<std::unique_ptr<Codec>> make_cuda_codec(const SnacDecoderWeights& weights,
                                               const CodecOptions& options,
                                               const CudaCodecTuning& tuning) {
  LYRE_ASSIGN_OR_RETURN(const Gpu gpu, cuda::select_device(options.device));
  const StreamPlan plan(weights.config);
  const int streams = options.max_streams, frames = options.most_frames_per_push;
  // No more than a push of all streams' next frames, and what a push of one stream may need.
  const int wanted = std::min(streams + plan.drain_slots, tuning.most_slots);
  const int most_slots = bucket_of(
      std::clamp(wanted, std::max(kLeastSlots, 2 * plan.drain_slots), std::end(kBuckets)[-1]));
  LYRE_ASSIGN_OR_RETURN(Decoder decoder, Decoder::open(weights, streams, most_slots));
  LYRE_ASSIGN_OR_RETURN(Queue queue, Queue::create(Queue::Priority::kHigh));
  const int64_t round_slots =
      snac_cuda::most_rounds_of_push(plan, streams, frames, most_slots) * most_slots;
  LYRE_ASSIGN_OR_RETURN(
      PinnedMemory slots,
      PinnedMemory::allocate(round_slots * int64_t{sizeof(Slot)}, "the codec's rounds"));
  const int64_t samples = snac_cuda::most_slots_of_push(plan, streams, frames) * plan.samples;
  LYRE_ASSIGN_OR_RETURN(PinnedMemory pcm, PinnedMemory::allocate(samples * int64_t{sizeof(float)},
                                                                 "the codec's samples"));
  return std::unique_ptr<Codec>(
      std::make_unique<CudaCodec>(std::move(decoder), std::move(queue), std::move(slots),
                                  std::move(pcm), weights, options, most_slots, gpu.name));
}

}  // namespace lyre
