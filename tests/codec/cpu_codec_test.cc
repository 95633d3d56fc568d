#include "lyre/codec/cpu/cpu_codec.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/base/cuda/gpus.h"
#include "lyre/codec/open_codec.h"

namespace lyre {
namespace {

class CpuCodecTest : public testing::Test {
 protected:
  ThreadPool threads_{2};
  std::unique_ptr<Codec> codec_ =
      *open_codec({test::codec_folder("tiny"), CodecBackend::kCpu, 3, 4}, threads_);
  std::vector<CodeFrame> frames_ = test::random_frames(8, codec_->info().codebook_size, 3);

  Status push(const CodecWork& work) {
    PcmSpan pcm;
    return codec_->push({&work, 1}, {&pcm, 1});
  }
  void expect_refused(const CodecWork& work, const std::string& part) {
    const Status status = push(work);
    ASSERT_FALSE(status.ok()) << part;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  }
};

TEST_F(CpuCodecTest, Info) {
  const CodecInfo& info = codec_->info();
  EXPECT_EQ(info.backend, "cpu");
  EXPECT_EQ(info.sample_rate_hz, 24000);
  EXPECT_EQ(info.codebook_size, 64);
  EXPECT_EQ(info.samples_per_frame, 480);
  EXPECT_EQ(info.most_frames_per_push, 4);
  EXPECT_EQ(info.max_streams, 3);
  EXPECT_GT(info.parameters, 0);
  EXPECT_GE(info.weight_bytes, info.parameters * 4 * 9 / 10);
  EXPECT_GT(info.stream_state_bytes, 0);
}

TEST_F(CpuCodecTest, StreamsAreLimitedAndReused) {
  std::vector<StreamId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(*codec_->open({}));
  EXPECT_EQ(codec_->free_streams(), 0);
  const auto full = codec_->open({});
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, ErrorCode::kResourceExhausted);
  codec_->close(ids[1]);
  codec_->close(ids[1]);  // a second close is harmless
  codec_->close(-1);
  codec_->close(99);
  EXPECT_EQ(codec_->free_streams(), 1);
  EXPECT_EQ(*codec_->open({}), ids[1]);
}

TEST_F(CpuCodecTest, RefusesWhatTheContractForbids) {
  const StreamId id = *codec_->open({});
  expect_refused({2, {}, false, false}, "is not open");
  expect_refused({-1, {}, false, false}, "is not open");
  expect_refused({id, std::span(frames_).first(5), false, false}, "at most 4");

  const CodecWork twice[] = {{id, {}, false, false}, {id, {}, false, false}};
  PcmSpan pcm[2];
  EXPECT_FALSE(codec_->push(twice, pcm).ok());
  EXPECT_FALSE(codec_->push(twice, {pcm, 1}).ok()) << "fewer results than streams";

  ASSERT_TRUE(push({id, std::span(frames_).first(1), true, false}).ok());
  expect_refused({id, {}, true, false}, "has finished");
}

// B2: an index of 4096 must never reach a codebook of 4096 rows; nor may a refusal change anything.
TEST_F(CpuCodecTest, B2_CodeOutsideTheCodebookIsRefusedBeforeAnyStateChanges) {
  const auto expected = test::stream_all(*codec_, frames_, {7, true}, {2});
  const StreamId good = *codec_->open({7, true}), bad = *codec_->open({});
  std::vector<float> actual;
  for (size_t f = 0; f < frames_.size(); ++f) {
    for (const int32_t code : {-1, 64, 4096}) {
      CodeFrame broken = frames_[f];
      broken.codes[6] = code;
      const CodecWork batch[] = {{good, {&frames_[f], 1}, true, false},
                                 {bad, {&broken, 1}, false, false}};
      PcmSpan pcm[2];
      const Status status = codec_->push(batch, pcm);
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(status.error().message.find(std::to_string(code)), std::string::npos);
    }
    const PcmSpan pcm =
        test::push_one(*codec_, {good, {&frames_[f], 1}, f + 1 == frames_.size(), false});
    actual.insert(actual.end(), pcm.final_samples.begin(), pcm.final_samples.end());
  }
  EXPECT_EQ(actual, expected);
}

TEST_F(CpuCodecTest, SeedAndSwitchDecideTheNoise) {
  const auto once = test::stream_all(*codec_, frames_, {7, true}, {2});
  EXPECT_EQ(test::stream_all(*codec_, frames_, {7, true}, {2}), once);
  EXPECT_NE(test::stream_all(*codec_, frames_, {8, true}, {2}), once);
  const auto without = test::stream_all(*codec_, frames_, {7, false}, {2});
  EXPECT_NE(without, once);
  EXPECT_EQ(test::stream_all(*codec_, frames_, {8, false}, {2}), without);
}

TEST_F(CpuCodecTest, EmptySpeechHasNoSamples) {
  const StreamId id = *codec_->open({});
  const PcmSpan preview = test::push_one(*codec_, {id, {}, false, true});
  EXPECT_TRUE(preview.final_samples.empty());
  EXPECT_TRUE(preview.preview_samples.empty());
  const PcmSpan end = test::push_one(*codec_, {id, {}, true, false});
  EXPECT_TRUE(end.final_samples.empty());
}

TEST(OpenCodec, SaysWhatIsMissing) {
  ThreadPool threads(1);
  const auto nothing = open_codec({"/nonexistent/codec"}, threads);
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(nothing.error().message.find("/nonexistent/codec/config.json"), std::string::npos);

  const auto cuda = open_codec({test::codec_folder("tiny"), CodecBackend::kCuda}, threads);
  if (list_gpus().empty()) {
    ASSERT_FALSE(cuda.ok());
    EXPECT_EQ(cuda.error().code, ErrorCode::kUnavailable);
  } else {
    EXPECT_TRUE(cuda.ok()) << cuda.error().message;
  }

  const auto zero = open_codec({test::codec_folder("tiny"), CodecBackend::kCpu, 0}, threads);
  ASSERT_FALSE(zero.ok());
  EXPECT_EQ(zero.error().code, ErrorCode::kInvalidArgument);
}

TEST(OpenCodec, ReferenceIsABackendToo) {
  ThreadPool threads(1);
  const auto codec = open_codec({test::codec_folder("tiny"), CodecBackend::kReference}, threads);
  ASSERT_TRUE(codec.ok()) << codec.error().message;
  EXPECT_EQ((*codec)->info().backend, "reference");
}

}  // namespace
}  // namespace lyre
