// The streaming backend is exact: however frames are pushed, alone or among others, the samples are
// bitwise those of the whole decode.
#include "lyre/codec/cpu/cpu_codec.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/snac_geometry.h"

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

// Odd strides, odd widths, one level of latents a frame more than usual.
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

struct CodecCase {
  const char* name;
  size_t frames;
  SnacDecoderWeights (*weights)();
};

const CodecCase kCases[] = {
    {"demo", 9, [] { return *load_snac_decoder(test::codec_folder("demo")); }},
    {"tiny", 12, [] { return *load_snac_decoder(test::codec_folder("tiny")); }},
    {"odd", 12, [] { return random_snac_decoder(odd_shape(), 3); }},
    {"no_noise", 7,
     [] {
       SnacConfig c = odd_shape();
       c.noise = false;
       return random_snac_decoder(c, 4);
     }},
    {"full", 5, [] { return random_snac_decoder(full_size(), 1); }},
};

class CpuCodecProperty : public testing::TestWithParam<CodecCase> {
 protected:
  SnacDecoderWeights weights_ = GetParam().weights();
  std::vector<CodeFrame> frames_ =
      test::random_frames(GetParam().frames, weights_.config.codebook_size, 7);
  StreamOptions options_{99, true};
  ThreadPool threads_{1};

  std::unique_ptr<Codec> make(int streams = 8) {
    return make_cpu_codec(weights_, {streams, 16}, threads_);
  }
  std::vector<float> whole(Codec& codec) {
    return test::stream_all(codec, frames_, options_, {frames_.size()});
  }
};

TEST_P(CpuCodecProperty, AnyChunkingIsTheWholeDecodeBitwise) {
  const auto codec = make();
  const auto expected = whole(*codec);
  ASSERT_EQ(expected.size(), frames_.size() * static_cast<size_t>(codec->info().samples_per_frame));
  for (const auto& pieces : std::vector<std::vector<size_t>>{{1}, {2}, {3}, {1, 4}, {0, 2, 0, 1}}) {
    EXPECT_EQ(test::stream_all(*codec, frames_, options_, pieces), expected);
  }
}

TEST_P(CpuCodecProperty, StreamsInABatchAreAsAloneBitwise) {
  const auto codec = make();
  // Streams of different lengths, seeds and starting times.
  constexpr size_t kStreams = 5;
  std::vector<std::vector<float>> expected, actual(kStreams);
  std::vector<std::span<const CodeFrame>> left;
  std::vector<StreamOptions> options;
  for (size_t s = 0; s < kStreams; ++s) {
    left.push_back(std::span<const CodeFrame>(frames_).subspan(s % frames_.size()));
    options.push_back({1000 + s, s != 2});
    expected.push_back(test::stream_all(*codec, left[s], options[s], {left[s].size()}));
  }
  std::vector<StreamId> ids(kStreams, -1);
  size_t running = kStreams;
  for (size_t step = 0; running > 0; ++step) {
    std::vector<CodecWork> batch;
    std::vector<size_t> who;
    for (size_t s = 0; s < kStreams; ++s) {
      if (step < s || left[s].data() == nullptr) continue;
      if (step == s) ids[s] = *codec->open(options[s]);
      const size_t count = std::min<size_t>(1 + (step + s) % 2, left[s].size());
      batch.push_back({ids[s], left[s].first(count), count == left[s].size(), (step + s) % 3 == 0});
      left[s] = left[s].subspan(count);
      who.push_back(s);
    }
    std::vector<PcmSpan> pcm(batch.size());
    ASSERT_TRUE(codec->push(batch, pcm).ok());
    for (size_t i = 0; i < batch.size(); ++i) {
      actual[who[i]].insert(actual[who[i]].end(), pcm[i].final_samples.begin(),
                            pcm[i].final_samples.end());
      if (!batch[i].finish) continue;
      codec->close(batch[i].stream);
      left[who[i]] = {};
      --running;
    }
  }
  for (size_t s = 0; s < kStreams; ++s) EXPECT_EQ(actual[s], expected[s]) << "stream " << s;
}

TEST_P(CpuCodecProperty, ThreadsDoNotChangeABit) {
  const auto expected = whole(*make());
  for (const int count : {2, 3}) {
    ThreadPool threads(count);
    const auto codec = make_cpu_codec(weights_, {1, 16}, threads);
    EXPECT_EQ(test::stream_all(*codec, frames_, options_, {3}), expected) << count;
  }
}

// B4: first frame and last two frames were never emitted; fewer than four frames gave silence.
TEST_P(CpuCodecProperty, B4_EverySampleOfEveryLength) {
  const auto codec = make();
  const auto frame_samples = static_cast<size_t>(codec->info().samples_per_frame);
  for (size_t n = 0; n <= 3; ++n) {
    const auto some = std::span<const CodeFrame>(frames_).first(n);
    const auto one_by_one = test::stream_all(*codec, some, options_, {1});
    EXPECT_EQ(one_by_one.size(), n * frame_samples);
    EXPECT_EQ(one_by_one, test::stream_all(*codec, some, options_, {std::max<size_t>(n, 1)}));
  }
}

TEST_P(CpuCodecProperty, SamplesComeAsSoonAsTheyAreFinal) {
  const auto codec = make();
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
TEST_P(CpuCodecProperty, PreviewIsTheDecodeOfAShorterSpeechAndLeavesTheStreamAlone) {
  const auto codec = make();
  const auto expected = whole(*codec);
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

TEST_P(CpuCodecProperty, CloseAtEveryStepFreesAndLeavesNothingBehind) {
  const auto codec = make(1);
  const auto expected = whole(*codec);
  for (size_t step = 0; step <= frames_.size(); ++step) {
    const StreamId id = *codec->open({step, true});
    EXPECT_FALSE(codec->open({}).ok()) << "only one stream";
    for (size_t f = 0; f < step; ++f) {
      (void)test::push_one(*codec, {id, {&frames_[f], 1}, f + 1 == frames_.size(), false});
    }
    codec->close(id);
    EXPECT_EQ(codec->free_streams(), 1);
  }
  EXPECT_EQ(whole(*codec), expected);
}

INSTANTIATE_TEST_SUITE_P(Codecs, CpuCodecProperty, testing::ValuesIn(kCases),
                         [](const auto& codec) { return codec.param.name; });

}  // namespace
}  // namespace lyre
