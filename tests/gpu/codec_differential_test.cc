// The CUDA codec against the reference within a signal to noise ratio, and against itself, in other
// chunks and other company, bit by bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "gpu/need_gpu.h"
#include "lyre/codec/cuda/cuda_codec.h"
#include "lyre/codec/noise.h"
#include "lyre/codec/reference/reference_codec.h"
#include "lyre/codec/reference/snac_decode.h"
#include "lyre/codec/snac_geometry.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace lyre {
namespace {

// Products of fp16 operands: each rounds by at most 2^-11 of its value, -77 dB as noise; some 25
// layers of them add up. Rounding all operands in a plain fp32 decode gives 66 dB for the demo
// voice, 63 for the 24 kHz shape, 62 for the odd ones and, on pushes of few samples, 60.7. The tiny
// voice's random weights amplify any rounding five times as much (so the cpu backend's in
// fp32): 48. A wrong tap or row leaves less than 30 dB.
constexpr double kLeastSnrDb = 60, kLeastSnrOddDb = 58, kLeastSnrTinyDb = 45;

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

// Odd strides, widths that are no multiple of anything, eight latents a frame.
SnacConfig odd_shape() {
  SnacConfig c = full_size();
  c.encoder_dim = 12;
  c.encoder_rates = {3, 5};
  c.latent_dim = 48;
  c.decoder_dim = 36;
  c.decoder_rates = {5, 3};
  c.codebook_size = 37;
  c.codebook_dim = 3;
  c.vq_strides = {8, 4, 2};
  return c;
}

// One block wider than the widest tile, few rows: the drain is longer than usual.
SnacConfig wide_shape() {
  SnacConfig c = odd_shape();
  c.encoder_rates = {2};
  c.encoder_dim = 24;
  c.decoder_dim = 1216;
  c.decoder_rates = {2};
  c.vq_strides = {4, 2, 1};
  return c;
}

struct CodecCase {
  const char* name;
  size_t frames;
  double least_snr_db;
  SnacDecoderWeights (*weights)();
};

const CodecCase kCases[] = {
    {"demo", 7, kLeastSnrDb, [] { return *load_snac_decoder(test::codec_folder("demo")); }},
    {"tiny", 12, kLeastSnrTinyDb, [] { return *load_snac_decoder(test::codec_folder("tiny")); }},
    {"odd", 12, kLeastSnrOddDb, [] { return random_snac_decoder(odd_shape(), 3); }},
    {"no_noise", 7, kLeastSnrOddDb,
     [] {
       SnacConfig c = odd_shape();
       c.noise = false;
       return random_snac_decoder(c, 4);
     }},
    {"wide", 5, kLeastSnrDb, [] { return random_snac_decoder(wide_shape(), 5); }},
    {"full", 5, kLeastSnrDb, [] { return random_snac_decoder(full_size(), 1); }},
};

CodecOptions options_for(int streams, int frames = 16) {
  CodecOptions options;
  options.backend = CodecBackend::kCuda;
  options.max_streams = streams;
  options.most_frames_per_push = frames;
  return options;
}

std::unique_ptr<Codec> make(const SnacDecoderWeights& weights, int streams, int frames = 16) {
  auto codec = make_cuda_codec(weights, options_for(streams, frames));
  if (!codec.ok()) {
    ADD_FAILURE() << codec.error().message;
    return nullptr;
  }
  return *std::move(codec);
}

// Good enough, and no NaN, which the judge of the SNR alone would let through.
testing::AssertionResult sounds_the_same(std::span<const float> actual,
                                         std::span<const float> expected, double least_db,
                                         double& worst_db) {
  // An error of one sample as large as the signal's own level would be a click.
  const auto close = test::all_close(actual, expected, 0.1);
  if (!close) return close;
  const double snr_db = test::difference(actual, expected).snr_db;
  worst_db = std::min(worst_db, snr_db);
  if (snr_db >= least_db) return testing::AssertionSuccess();
  return testing::AssertionFailure() << snr_db << " dB, expected at least " << least_db;
}

std::vector<float> decode(const SnacDecoderWeights& weights, std::span<const CodeFrame> frames,
                          const StreamOptions& options) {
  return reference::decode(weights, frames, [&](int block, std::span<float> out) {
    if (options.noise) fill_noise(options.noise_seed, block, 0, out);
  });
}

class CudaCodecDifferential : public testing::TestWithParam<CodecCase> {
 protected:
  void SetUp() override {
    LYRE_NEED_GPU();
    weights_ = GetParam().weights();
    frames_ = test::random_frames(GetParam().frames, weights_.config.codebook_size, 7);
  }

  std::vector<float> whole(Codec& codec, const StreamOptions& options) {
    return test::stream_all(codec, frames_, options, {frames_.size()});
  }
  void report(double worst_db) {
    RecordProperty("snr_db", std::to_string(worst_db));
    std::cout << "codec " << GetParam().name << ": " << worst_db << " dB at least\n";
  }

  SnacDecoderWeights weights_;
  std::vector<CodeFrame> frames_;
  const StreamOptions options_{1234567890123, true};
};

TEST_P(CudaCodecDifferential, EveryPushAndPreviewIsTheReferences) {
  const auto reference = make_reference_codec(weights_, 1, 8);
  const auto codec = make(weights_, 2, 8);
  ASSERT_NE(codec, nullptr);
  const StreamId a = *reference->open(options_), b = *codec->open(options_);
  double worst_db = std::numeric_limits<double>::infinity();
  const std::vector<size_t> pieces = {1, 2, 1, 0};
  size_t done = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto fresh = std::span<const CodeFrame>(frames_).subspan(done, pieces[i]);
    done += pieces[i];
    const bool finish = i + 1 == pieces.size();
    const PcmSpan expected = test::push_one(*reference, {a, fresh, finish, !finish});
    const PcmSpan actual = test::push_one(*codec, {b, fresh, finish, !finish});
    ASSERT_EQ(actual.final_samples.size(), expected.final_samples.size()) << "push " << i;
    ASSERT_EQ(actual.preview_samples.size(), expected.preview_samples.size()) << "push " << i;
    for (const auto& [x, y] : {std::pair{actual.final_samples, expected.final_samples},
                               std::pair{actual.preview_samples, expected.preview_samples}}) {
      if (y.empty()) continue;
      EXPECT_TRUE(sounds_the_same(x, y, GetParam().least_snr_db, worst_db)) << "push " << i;
    }
  }
  report(worst_db);
}

TEST_P(CudaCodecDifferential, AnyChunkingIsTheSameBitwise) {
  const auto codec = make(weights_, 3);
  ASSERT_NE(codec, nullptr);
  const auto expected = whole(*codec, options_);
  ASSERT_EQ(expected.size(), frames_.size() * static_cast<size_t>(codec->info().samples_per_frame));
  double worst_db = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(sounds_the_same(expected, decode(weights_, frames_, options_),
                              GetParam().least_snr_db, worst_db));
  EXPECT_EQ(whole(*codec, options_), expected) << "the same push again";
  for (const auto& pieces : std::vector<std::vector<size_t>>{{1}, {2}, {3}, {1, 4}, {0, 2, 0, 1}}) {
    EXPECT_EQ(test::stream_all(*codec, frames_, options_, pieces), expected);
  }
  report(worst_db);
}

// Streams of different lengths, seeds and starting times, with previews now and then.
TEST_P(CudaCodecDifferential, StreamsInABatchAreAsAloneBitwise) {
  for (const size_t count : {size_t{3}, size_t{17}}) {
    const auto codec = make(weights_, static_cast<int>(count));
    ASSERT_NE(codec, nullptr);
    std::vector<std::vector<float>> expected, actual(count);
    std::vector<std::span<const CodeFrame>> left;
    std::vector<StreamOptions> options;
    for (size_t s = 0; s < count; ++s) {
      left.push_back(std::span<const CodeFrame>(frames_).subspan(s % frames_.size()));
      options.push_back({1000 + s, s != 2});
      expected.push_back(test::stream_all(*codec, left[s], options[s], {left[s].size()}));
    }
    std::vector<StreamId> ids(count, -1);
    size_t running = count;
    for (size_t step = 0; running > 0; ++step) {
      std::vector<CodecWork> batch;
      std::vector<size_t> who;
      for (size_t s = 0; s < count; ++s) {
        if (step < s % 4 || left[s].data() == nullptr) continue;
        if (ids[s] < 0) ids[s] = *codec->open(options[s]);
        const size_t frames = std::min<size_t>(1 + (step + s) % 2, left[s].size());
        batch.push_back(
            {ids[s], left[s].first(frames), frames == left[s].size(), (step + s) % 3 == 0});
        left[s] = left[s].subspan(frames);
        who.push_back(s);
      }
      std::vector<PcmSpan> pcm(batch.size());
      const Status pushed = codec->push(batch, pcm);
      ASSERT_TRUE(pushed.ok()) << pushed.error().message;
      for (size_t i = 0; i < batch.size(); ++i) {
        actual[who[i]].insert(actual[who[i]].end(), pcm[i].final_samples.begin(),
                              pcm[i].final_samples.end());
        if (!batch[i].finish) continue;
        codec->close(batch[i].stream);
        left[who[i]] = {};
        --running;
      }
    }
    for (size_t s = 0; s < count; ++s) {
      EXPECT_EQ(actual[s], expected[s]) << "stream " << s << " of " << count;
    }
  }
}

TEST_P(CudaCodecDifferential, EverySampleOfEveryLength) {
  const auto codec = make(weights_, 1);
  ASSERT_NE(codec, nullptr);
  const auto frame_samples = static_cast<size_t>(codec->info().samples_per_frame);
  double worst_db = std::numeric_limits<double>::infinity();
  for (size_t n = 0; n <= 3; ++n) {
    const auto some = std::span<const CodeFrame>(frames_).first(n);
    const auto one_by_one = test::stream_all(*codec, some, options_, {1});
    EXPECT_EQ(one_by_one.size(), n * frame_samples);
    EXPECT_EQ(one_by_one, test::stream_all(*codec, some, options_, {std::max<size_t>(n, 1)}));
    if (n == 0) continue;
    EXPECT_TRUE(sounds_the_same(one_by_one, decode(weights_, some, options_),
                                GetParam().least_snr_db, worst_db))
        << n;
  }
}

TEST_P(CudaCodecDifferential, SamplesComeAsSoonAsTheyAreFinal) {
  const auto codec = make(weights_, 1);
  ASSERT_NE(codec, nullptr);
  const SnacConfig& c = weights_.config;
  const StreamId id = *codec->open(options_);
  int64_t given = 0, latents = 0;
  for (const CodeFrame& frame : frames_) {
    const PcmSpan pcm = test::push_one(*codec, {id, {&frame, 1}, false, false});
    given += static_cast<int64_t>(pcm.final_samples.size());
    latents += c.latents_per_frame();
    EXPECT_EQ(given, final_samples(c, latents));
    EXPECT_LE(latents * c.samples_per_latent() - given, codec->info().final_delay_samples);
  }
  const PcmSpan rest = test::push_one(*codec, {id, {}, true, false});  // finish without frames
  EXPECT_EQ(given + static_cast<int64_t>(rest.final_samples.size()),
            latents * c.samples_per_latent());
}

// A preview is the decode of a speech that ends here, and leaves no trace.
TEST_P(CudaCodecDifferential, PreviewIsTheDecodeOfAShorterSpeechBitwise) {
  const auto codec = make(weights_, 2);
  ASSERT_NE(codec, nullptr);
  const auto expected = whole(*codec, options_);
  const StreamId id = *codec->open(options_);
  std::vector<float> final_so_far;
  for (size_t f = 0; f < frames_.size(); ++f) {
    const bool finish = f + 1 == frames_.size();
    const PcmSpan pcm = test::push_one(*codec, {id, {&frames_[f], 1}, finish, true});
    final_so_far.insert(final_so_far.end(), pcm.final_samples.begin(), pcm.final_samples.end());
    if (finish) {
      EXPECT_TRUE(pcm.preview_samples.empty()) << "nothing is provisional after the end";
      break;
    }
    auto as_if_ended = final_so_far;
    as_if_ended.insert(as_if_ended.end(), pcm.preview_samples.begin(), pcm.preview_samples.end());
    const auto shorter = std::span<const CodeFrame>(frames_).first(f + 1);
    EXPECT_EQ(as_if_ended, test::stream_all(*codec, shorter, options_, {shorter.size()})) << f;
  }
  codec->close(id);
  EXPECT_EQ(final_so_far, expected);
}

TEST_P(CudaCodecDifferential, CloseAtEveryStepLeavesNothingBehind) {
  const auto codec = make(weights_, 1);
  ASSERT_NE(codec, nullptr);
  const auto expected = whole(*codec, options_);
  for (size_t step = 0; step <= frames_.size(); ++step) {
    const StreamId id = *codec->open({step, true});
    EXPECT_FALSE(codec->open({}).ok()) << "only one stream";
    for (size_t f = 0; f < step; ++f) {
      (void)test::push_one(*codec, {id, {&frames_[f], 1}, f + 1 == frames_.size(), false});
    }
    codec->close(id);
    EXPECT_EQ(codec->free_streams(), 1);
  }
  EXPECT_EQ(whole(*codec, options_), expected);
}

INSTANTIATE_TEST_SUITE_P(Codecs, CudaCodecDifferential, testing::ValuesIn(kCases),
                         [](const auto& codec) { return codec.param.name; });

class CudaCodecTest : public testing::Test {
 protected:
  void SetUp() override {
    LYRE_NEED_GPU();
    weights_ = *load_snac_decoder(test::codec_folder("tiny"));
    codec_ = make(weights_, 3, 4);
    ASSERT_NE(codec_, nullptr);
    frames_ = test::random_frames(4, codec_->info().codebook_size, 3);
  }

  void expect_refused(const CodecWork& work, const std::string& part) {
    PcmSpan pcm;
    EXPECT_TRUE(
        test::is_error(codec_->push({&work, 1}, {&pcm, 1}), ErrorCode::kInvalidArgument, {part}));
  }

  SnacDecoderWeights weights_;
  std::unique_ptr<Codec> codec_;
  std::vector<CodeFrame> frames_;
};

TEST_F(CudaCodecTest, Info) {
  const CodecInfo& info = codec_->info();
  EXPECT_TRUE(info.backend.starts_with("cuda")) << info.backend;
  EXPECT_EQ(info.samples_per_frame, 480);
  EXPECT_EQ(info.max_streams, 3);
  EXPECT_EQ(info.most_frames_per_push, 4);
  EXPECT_TRUE(info.every_shape_pays);
  EXPECT_GT(info.weight_bytes, 0);
  EXPECT_GT(info.stream_state_bytes, 0);
  EXPECT_EQ(info.final_delay_samples, final_delay_samples(weights_.config));
}

TEST_F(CudaCodecTest, RefusesWhatTheContractForbids) {
  const StreamId id = *codec_->open({});
  expect_refused({2, {}, false, false}, "is not open");
  expect_refused({-1, {}, false, false}, "is not open");
  const auto five = test::random_frames(5, codec_->info().codebook_size, 4);
  expect_refused({id, five, false, false}, "at most 4");
  CodeFrame broken = frames_[0];
  broken.codes[6] = codec_->info().codebook_size;
  expect_refused({id, {&broken, 1}, false, false}, "outside the codebook");
  (void)test::push_one(*codec_, {id, {frames_.data(), 1}, true, false});
  expect_refused({id, {}, true, false}, "has finished");
}

TEST_F(CudaCodecTest, ARefusedPushChangesNothing) {
  const auto expected = test::stream_all(*codec_, frames_, {7, true}, {1});
  const StreamId good = *codec_->open({7, true}), bad = *codec_->open({});
  std::vector<float> actual;
  for (size_t f = 0; f < frames_.size(); ++f) {
    CodeFrame broken = frames_[f];
    broken.codes[3] = -1;
    const CodecWork batch[] = {{good, {&frames_[f], 1}, true, false},
                               {bad, {&broken, 1}, false, false}};
    PcmSpan pcm[2];
    ASSERT_FALSE(codec_->push(batch, pcm).ok());
    const PcmSpan now =
        test::push_one(*codec_, {good, {&frames_[f], 1}, f + 1 == frames_.size(), false});
    actual.insert(actual.end(), now.final_samples.begin(), now.final_samples.end());
  }
  EXPECT_EQ(actual, expected);
}

TEST_F(CudaCodecTest, SeedAndSwitchDecideTheNoise) {
  const auto once = test::stream_all(*codec_, frames_, {7, true}, {2});
  EXPECT_EQ(test::stream_all(*codec_, frames_, {7, true}, {2}), once);
  EXPECT_NE(test::stream_all(*codec_, frames_, {8, true}, {2}), once);
  const auto without = test::stream_all(*codec_, frames_, {7, false}, {2});
  EXPECT_NE(without, once);
  EXPECT_EQ(test::stream_all(*codec_, frames_, {8, false}, {2}), without);
}

TEST_F(CudaCodecTest, EmptySpeechHasNoSamples) {
  const StreamId id = *codec_->open({});
  const PcmSpan preview = test::push_one(*codec_, {id, {}, false, true});
  EXPECT_TRUE(preview.final_samples.empty());
  EXPECT_TRUE(preview.preview_samples.empty());
  EXPECT_TRUE(test::push_one(*codec_, {id, {}, true, false}).final_samples.empty());
}

TEST_F(CudaCodecTest, WarmupStepsRunAtAnyTimeAndChangeNothing) {
  const auto expected = test::stream_all(*codec_, frames_, {7, true}, {1});
  const StreamId id = *codec_->open({7, true});
  const auto steps = codec_->warmup_steps();
  EXPECT_FALSE(steps.empty());
  std::vector<float> actual;
  for (size_t f = 0; f < frames_.size(); ++f) {
    for (const WarmupStep& step : steps) {
      EXPECT_TRUE(step.name.starts_with("codec.graph.")) << step.name;
      const auto progress = step.run();
      ASSERT_TRUE(progress.ok()) << progress.error().message;
      EXPECT_EQ(*progress, WarmupStep::Progress::kDone);
    }
    const PcmSpan pcm =
        test::push_one(*codec_, {id, {&frames_[f], 1}, f + 1 == frames_.size(), false});
    actual.insert(actual.end(), pcm.final_samples.begin(), pcm.final_samples.end());
  }
  EXPECT_EQ(actual, expected);
}

TEST_F(CudaCodecTest, AWeightBeyondFp16IsRefusedByName) {
  for (const float bad : {1e5f, -1e5f, std::numeric_limits<float>::quiet_NaN()}) {
    SnacDecoderWeights weights = weights_;
    weights.blocks[1].units[2].pointwise.weight[5] = bad;
    EXPECT_TRUE(test::is_error(make_cuda_codec(weights, options_for(1)),
                               ErrorCode::kInvalidArgument,
                               {"decoder block 1", "residual unit 2", "65504"}));
  }
}

TEST_F(CudaCodecTest, ADeviceThatIsNotThereIsNotFound) {
  CodecOptions options = options_for(1);
  options.device = 1000;
  EXPECT_TRUE(test::is_error(make_cuda_codec(weights_, options), ErrorCode::kNotFound, {"1000"}));
}

}  // namespace
}  // namespace lyre
