// Every kernel of a round tells what it moves and computes. Prints the times of each: microseconds,
// GB/s, TFLOP/s, with events between the kernels, so without their overlap; and of whole pushes.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "codec/streaming.h"
#include "gpu/need_gpu.h"
#include "lyre/codec/cuda/cuda_codec.h"
#include "lyre/codec/cuda/decoder.h"
#include "lyre/codec/cuda/kernels.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {
namespace {

SnacConfig full_size() {
  SnacConfig c;
  c.sampling_rate_hz = 24000;
  c.encoder_dim = 48;
  c.encoder_rates = {2, 4, 8, 8};
  c.latent_dim = 768;
  c.decoder_dim = 1024;
  c.decoder_rates = {8, 8, 4, 2};
  c.codebook_size = 4096;
  c.codebook_dim = 8;
  c.vq_strides = {4, 2, 1};
  return c;
}

class CudaCodecProfile : public testing::Test {
 protected:
  void SetUp() override {
    LYRE_NEED_GPU();
    weights_ = random_snac_decoder(full_size(), 1);
  }
  SnacDecoderWeights weights_;
};

TEST_F(CudaCodecProfile, EveryKernelTellsItsWork) {
  constexpr int kMostSlots = 216;
  auto decoder = snac_cuda::Decoder::open(weights_, kMostSlots, kMostSlots);
  ASSERT_TRUE(decoder.ok()) << decoder.error().message;
  auto queue = cuda::Queue::create(cuda::Queue::Priority::kHigh);
  ASSERT_TRUE(queue.ok()) << queue.error().message;
  const auto frames = test::random_frames(kMostSlots, 4096, 1);
  std::vector<snac_cuda::Slot> slots(kMostSlots);
  for (size_t s = 0; s < slots.size(); ++s) {
    slots[s].stream = static_cast<int32_t>(s);
    slots[s].noise = slots[s].has_codes = 1;
    std::copy(frames[s].codes.begin(), frames[s].codes.end(), slots[s].codes);
  }
  queue->copy_to_device(decoder->slots(), slots.data(),
                        static_cast<int64_t>(slots.size() * sizeof(slots[0])));
  for (const int count : {1, 8, 64, kMostSlots}) {
    decoder->put(*queue, count);  // warm
    ASSERT_TRUE(queue->finish().ok());
    queue->start_recording();
    decoder->put(*queue, count);
    const auto records = queue->stop_recording();
    ASSERT_TRUE(records.ok()) << records.error().message;
    // Latents, pointwise, head; in a block upsample, noise (unless it is part of that) and three
    // units.
    size_t kernels = 3;
    for (const snac_cuda::BlockPlan& b : decoder->plan().blocks) {
      kernels += snac_cuda::projection_adds_noise(count, b.in_rows, b.stride, b.channels) ? 4 : 5;
    }
    EXPECT_EQ(records->size(), kernels);
    std::printf("%d slots\n", count);
    float sum_ms = 0;
    for (const auto& record : *records) {
      EXPECT_GT(record.work.bytes, 0) << record.work.name;
      EXPECT_GT(record.work.operations, 0) << record.work.name;
      const double seconds = static_cast<double>(record.milliseconds) * 1e-3;
      std::printf("  %-20s %8.1f us %8.0f GB/s %8.1f TFLOP/s\n", record.work.name, seconds * 1e6,
                  static_cast<double>(record.work.bytes) / seconds * 1e-9,
                  static_cast<double>(record.work.operations) / seconds * 1e-12);
      sum_ms += record.milliseconds;
    }
    std::printf("  together %.3f ms\n", static_cast<double>(sum_ms));
  }
}

// What a push of one frame of so many streams costs, for each size of round. Asserted is only that
// all give the same samples.
TEST_F(CudaCodecProfile, SizeOfRoundsChangesNoSample) {
  constexpr size_t kStreams = 216;
  constexpr int kPushes = 12;
  const auto frames = test::random_frames(kStreams, 4096, 1);
  std::vector<float> expected;
  for (const int most_slots : {256, 128, 64, 32}) {
    CodecOptions options;
    options.backend = CodecBackend::kCuda;
    options.max_streams = kStreams;
    options.most_frames_per_push = 1;
    auto codec = make_cuda_codec(weights_, options, {most_slots});
    ASSERT_TRUE(codec.ok()) << codec.error().message;
    std::printf("rounds of %3d:", most_slots);
    for (const size_t count : {size_t{1}, size_t{8}, size_t{32}, size_t{64}, kStreams}) {
      std::vector<CodecWork> batch(count);
      std::vector<PcmSpan> pcm(count);
      for (size_t s = 0; s < count; ++s) {
        batch[s].stream = *(*codec)->open({s, true});
        batch[s].frames = {&frames[s], 1};
      }
      std::vector<float> last;
      double least_ms = 1e9;
      for (int push = 0; push < kPushes; ++push) {
        const auto begin = std::chrono::steady_clock::now();
        ASSERT_TRUE((*codec)->push(batch, pcm).ok());
        const std::chrono::duration<double, std::milli> took =
            std::chrono::steady_clock::now() - begin;
        least_ms = std::min(least_ms, took.count());
      }
      for (const PcmSpan& span : pcm) {
        ASSERT_EQ(span.final_samples.size(), 2048u);
        last.insert(last.end(), span.final_samples.begin(), span.final_samples.end());
      }
      for (const CodecWork& work : batch) (*codec)->close(work.stream);
      std::printf("  %zu streams %.3f ms", count, least_ms);
      if (count < kStreams) continue;
      if (expected.empty()) expected = last;
      EXPECT_EQ(last, expected) << most_slots;
    }
    std::printf("\n");
  }
}

}  // namespace
}  // namespace lyre
