#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/philox.h"
#include "lyre/codec/codec.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/lm/language_model.h"

namespace lyre::test {

/// Vocabulary of the doubles: 256 byte ids, a stop id, and codes of 7 slots.
inline CodeLayout fake_layout() {
  return {.first_code = 300, .codebook_size = 50, .stop_ids = {257}};
}

/// Speaks one frame for each id of the prompt, with codes that depend on prompt, seed and position
/// only. Counts what is open, and fails the test where its contract is broken.
class FakeLanguageModel final : public LanguageModel {
 public:
  struct Limits {
    int max_sequences = 4;
    int64_t kv_tokens = 4000;
    int page_tokens = 16;
    int max_batch_tokens = 64;
    int max_sequence_tokens = 1 << 20;
  };
  FakeLanguageModel() : FakeLanguageModel(Limits{}) {}
  explicit FakeLanguageModel(const Limits& limits)
      : limits_(limits), free_kv_tokens_(limits.kv_tokens), free_sequences_(limits.max_sequences) {
    info_.vocabulary = 700;
    info_.max_sequences = limits.max_sequences;
    info_.max_sequence_tokens = limits.max_sequence_tokens;
    info_.max_batch_tokens = limits.max_batch_tokens;
    info_.backend = "fake";
    info_.weights = "none";
  }
  ~FakeLanguageModel() override { EXPECT_TRUE(sequences_.empty()) << "sequences left open"; }

  // Hooks, to be set before the engine starts. on_step is called with the number of the step; where
  // a step has two halves (info().steps_in_background), in the second.
  std::function<Status(int step, std::span<const Slice> batch)> on_step;
  std::function<Status(int step, std::span<const Slice> batch)> on_begin;
  std::function<Status()> on_open;
  std::vector<WarmupStep> own_warmup_steps;
  std::vector<WarmupStep> warmup_steps() override { return own_warmup_steps; }
  /// Ids that the sequence speaks before the stop id; the default is whole frames.
  std::function<std::vector<TokenId>(std::span<const TokenId> prompt, uint64_t seed)> script =
      [](std::span<const TokenId> prompt, uint64_t seed) { return frames_of(prompt, seed); };

  static std::vector<TokenId> frames_of(std::span<const TokenId> prompt, uint64_t seed) {
    const CodeLayout layout = fake_layout();
    std::vector<TokenId> ids;
    for (uint32_t frame = 0; frame < prompt.size(); ++frame) {
      for (int slot = 0; slot < CodeLayout::kSlots; ++slot) {
        const auto words = philox4x32(
            {frame, static_cast<uint32_t>(slot), static_cast<uint32_t>(prompt[frame]), 1},
            {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
        ids.push_back(layout.slot_first(slot) + static_cast<TokenId>(words[0] % 50));
      }
    }
    return ids;
  }

  const LanguageModelInfo& info() const noexcept override { return info_; }
  int free_sequences() const noexcept override {
    expect_no_step("free_sequences");
    return free_sequences_;
  }
  int64_t free_kv_tokens() const noexcept override {
    expect_no_step("free_kv_tokens");
    ++asked_for_room_;
    return free_kv_tokens_;
  }
  int64_t kv_tokens_for(int max_tokens) const noexcept override {
    expect_no_step("kv_tokens_for");
    return int64_t{(max_tokens + limits_.page_tokens - 1) / limits_.page_tokens} *
           limits_.page_tokens;
  }

  Result<SequenceId> open(const SequenceOptions& options) override {
    expect_no_step("open");
    if (on_open) LYRE_RETURN_IF_ERROR(on_open());
    const int64_t needed = kv_tokens_for(options.max_tokens);
    EXPECT_GT(free_sequences_, 0);
    EXPECT_LE(options.max_tokens, limits_.max_sequence_tokens);
    EXPECT_GE(free_kv_tokens_, needed) << "more pages than there are";
    SequenceId id = 0;
    while (sequences_.contains(id)) ++id;
    sequences_[id] = {.options = options};
    --free_sequences_;
    free_kv_tokens_ -= needed;
    ++opened_;
    return id;
  }

  void close(SequenceId id) noexcept override {
    expect_no_step("close");
    const auto found = sequences_.find(id);
    ASSERT_NE(found, sequences_.end()) << "closes sequence " << id << " twice";
    ++free_sequences_;
    free_kv_tokens_ += kv_tokens_for(found->second.options.max_tokens);
    sequences_.erase(found);
  }

  Status step(std::span<const Slice> batch, std::span<SliceResult> results) override {
    expect_no_step("step");
    EXPECT_EQ(batch.size(), results.size());
    EXPECT_FALSE(batch.empty());
    largest_batch_ = std::max<int>(largest_batch_, static_cast<int>(batch.size()));
    const int number = steps_++;
    if (on_step) LYRE_RETURN_IF_ERROR(on_step(number, batch));
    size_t tokens = 0;
    std::set<SequenceId> seen;
    for (size_t i = 0; i < batch.size(); ++i) {
      tokens += std::max<size_t>(1, batch[i].prompt.size());
      EXPECT_TRUE(seen.insert(batch[i].sequence).second) << "a sequence twice in a batch";
      results[i] = advance(batch[i]);
    }
    EXPECT_LE(tokens, static_cast<size_t>(limits_.max_batch_tokens));
    return ok_status();
  }
  Status begin_step(std::span<const Slice> batch, std::span<SliceResult> results) override {
    expect_no_step("begin_step");
    EXPECT_TRUE(info_.steps_in_background);
    const int number = steps_;
    if (on_begin) LYRE_RETURN_IF_ERROR(on_begin(number, batch));
    begun_.batch = batch;
    begun_.results = results;
    begun_.slices.assign(batch.begin(), batch.end());
    begun_.prompts.clear();
    for (const Slice& slice : batch) {
      begun_.prompts.emplace_back(slice.prompt.begin(), slice.prompt.end());
    }
    in_step_ = true;
    return ok_status();
  }
  Status end_step() override {
    EXPECT_TRUE(in_step_) << "ends a step that was not begun";
    in_step_ = false;
    // What was begun must still be there.
    EXPECT_EQ(begun_.batch.size(), begun_.slices.size());
    for (size_t i = 0; i < begun_.slices.size(); ++i) {
      EXPECT_EQ(begun_.batch[i].sequence, begun_.slices[i].sequence);
      EXPECT_EQ(begun_.batch[i].most_tokens, begun_.slices[i].most_tokens);
      EXPECT_TRUE(std::equal(begun_.batch[i].prompt.begin(), begun_.batch[i].prompt.end(),
                             begun_.prompts[i].begin(), begun_.prompts[i].end()));
    }
    return step(begun_.batch, begun_.results);
  }
  bool in_step() const { return in_step_; }
  std::span<const float> last_logits(SequenceId) const noexcept override { return {}; }

  LanguageModelInfo& info_for_test() { return info_; }
  int steps() const { return steps_; }
  int opened() const { return opened_; }
  int64_t asked_for_room() const { return asked_for_room_; }
  int largest_batch() const { return largest_batch_; }

 private:
  struct Sequence {
    SequenceOptions options;
    std::vector<TokenId> prompt = {};
    std::vector<TokenId> speech = {};
    size_t spoken = 0;
    bool speaking = false, stopped = false;
  };

  /// Between the halves of a step nothing may be asked, on the engine's thread at least.
  void expect_no_step(const char* call) const {
    EXPECT_FALSE(in_step_) << call << " between begin_step and end_step";
  }

  SliceResult advance(const Slice& slice) {
    SliceResult result;
    const auto found = sequences_.find(slice.sequence);
    EXPECT_NE(found, sequences_.end()) << "steps a sequence that is not open";
    if (found == sequences_.end()) return result;
    Sequence& sequence = found->second;
    EXPECT_EQ(slice.prompt.empty(), sequence.speaking) << "prompt and decode mixed up";
    EXPECT_FALSE(sequence.stopped) << "steps a sequence behind its stop id";
    sequence.prompt.insert(sequence.prompt.end(), slice.prompt.begin(), slice.prompt.end());
    if (slice.most_tokens == 0) return result;
    if (!sequence.speaking) {
      sequence.speaking = true;
      sequence.speech = script(sequence.prompt, sequence.options.sampling.seed);
      sequence.speech.push_back(257);
    }
    EXPECT_LE(slice.most_tokens, SliceResult::kMostTokens);
    const int most = info_.draws_several ? slice.most_tokens : 1;
    while (result.count < most && !result.stopped) {
      const size_t used = sequence.prompt.size() + sequence.spoken;
      if (used >= static_cast<size_t>(sequence.options.max_tokens)) return result;
      result.tokens[result.count++] = sequence.speech[sequence.spoken++];
      result.stopped = sequence.stopped = sequence.spoken == sequence.speech.size();
    }
    return result;
  }

  struct Begun {
    std::span<const Slice> batch;
    std::span<SliceResult> results;
    std::vector<Slice> slices;
    std::vector<std::vector<TokenId>> prompts;
  };

  const Limits limits_;
  LanguageModelInfo info_;
  std::map<SequenceId, Sequence> sequences_;
  std::atomic<int64_t> free_kv_tokens_;
  std::atomic<int> free_sequences_;
  mutable std::atomic<int64_t> asked_for_room_{0};
  Begun begun_;
  std::atomic<bool> in_step_{false};
  std::atomic<int> steps_{0}, opened_{0}, largest_batch_{0};
};

/// Makes samples that depend on codes, seed and place only, and keeps the last ones back until it
/// knows what follows, as SNAC does.
class FakeCodec final : public Codec {
 public:
  static constexpr int kFrameSamples = 160;
  static constexpr int kDelaySamples = 400;

  explicit FakeCodec(int max_streams = 4) {
    info_.sample_rate_hz = 24000;
    info_.codebook_size = 50;
    info_.samples_per_frame = kFrameSamples;
    info_.most_frames_per_push = 8;
    info_.max_streams = max_streams;
    info_.final_delay_samples = kDelaySamples;
    info_.backend = "fake";
    buffers_.resize(static_cast<size_t>(max_streams));
  }
  ~FakeCodec() override { EXPECT_TRUE(streams_.empty()) << "streams left open"; }

  std::function<Status(int push, std::span<const CodecWork> batch)> on_push;
  std::function<Status()> on_open;
  std::vector<WarmupStep> own_warmup_steps;
  std::vector<WarmupStep> warmup_steps() override { return own_warmup_steps; }

  /// Sample `i` of a frame.
  static float sample(const CodeFrame& frame, uint64_t noise_seed, int i) {
    const int code = frame.codes[static_cast<size_t>(i % CodeFrame::kSlots)];
    const auto mixed =
        static_cast<uint32_t>(noise_seed) * 31u + static_cast<uint32_t>(code * 977 + i);
    return static_cast<float>(static_cast<int>(mixed % 2001) - 1000) / 1000.0f;
  }
  static std::vector<float> whole(std::span<const CodeFrame> frames, uint64_t noise_seed) {
    std::vector<float> samples;
    for (const CodeFrame& frame : frames) {
      for (int i = 0; i < kFrameSamples; ++i) samples.push_back(sample(frame, noise_seed, i));
    }
    return samples;
  }
  /// What a preview says of a sample that is not final.
  static float provisional(float exact) { return 0.5f * exact; }

  const CodecInfo& info() const noexcept override { return info_; }
  int free_streams() const noexcept override {
    return info_.max_streams - static_cast<int>(streams_.size());
  }
  Result<StreamId> open(const StreamOptions& options) override {
    if (on_open) LYRE_RETURN_IF_ERROR(on_open());
    EXPECT_GT(free_streams(), 0);
    StreamId id = 0;
    while (streams_.contains(id)) ++id;
    streams_[id] = {.options = options};
    return id;
  }
  void close(StreamId id) noexcept override {
    ASSERT_EQ(streams_.erase(id), 1u) << "closes stream " << id << " twice";
  }

  Status push(std::span<const CodecWork> batch, std::span<PcmSpan> pcm) override {
    EXPECT_EQ(batch.size(), pcm.size());
    EXPECT_FALSE(batch.empty());
    largest_batch_ = std::max<int>(largest_batch_, static_cast<int>(batch.size()));
    const int number = pushes_++;
    if (on_push) LYRE_RETURN_IF_ERROR(on_push(number, batch));
    std::set<StreamId> seen;
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_TRUE(seen.insert(batch[i].stream).second) << "a stream twice in a batch";
      pcm[i] = advance(batch[i]);
    }
    return ok_status();
  }

  CodecInfo& info_for_test() { return info_; }
  int pushes() const { return pushes_; }
  int largest_batch() const { return largest_batch_; }

 private:
  struct Stream {
    StreamOptions options;
    std::vector<float> known = {};  // not put out yet
    bool finished = false;
  };

  PcmSpan advance(const CodecWork& work) {
    const auto found = streams_.find(work.stream);
    EXPECT_NE(found, streams_.end()) << "pushes a stream that is not open";
    if (found == streams_.end()) return {};
    Stream& stream = found->second;
    EXPECT_FALSE(stream.finished) << "pushes a stream behind its end";
    const std::vector<float> more = whole(work.frames, stream.options.noise_seed);
    stream.known.insert(stream.known.end(), more.begin(), more.end());
    stream.finished = work.finish;
    const size_t kept = work.finish ? 0 : std::min<size_t>(kDelaySamples, stream.known.size());
    const auto border = stream.known.end() - static_cast<std::ptrdiff_t>(kept);

    Buffers& buffers = buffers_[static_cast<size_t>(work.stream)];
    buffers.final_samples.assign(stream.known.begin(), border);
    buffers.preview_samples.clear();
    if (work.preview) {
      std::transform(border, stream.known.end(), std::back_inserter(buffers.preview_samples),
                     provisional);
    }
    stream.known.erase(stream.known.begin(), border);
    return {buffers.final_samples, buffers.preview_samples};
  }

  struct Buffers {
    std::vector<float> final_samples, preview_samples;
  };
  CodecInfo info_;
  std::map<StreamId, Stream> streams_;
  std::vector<Buffers> buffers_;
  std::atomic<int> pushes_{0}, largest_batch_{0};
};

/// An engine of doubles. The pointers live as long as the engine that takes `parts`.
struct FakeParts {
  explicit FakeParts(const FakeLanguageModel::Limits& limits = FakeLanguageModel::Limits{}) {
    auto model = std::make_unique<FakeLanguageModel>(limits);
    auto voice = std::make_unique<FakeCodec>(limits.max_sequences);
    language_model = model.get();
    codec = voice.get();
    parts.model_name = "fake";
    parts.language_model = std::move(model);
    parts.codec = std::move(voice);
    parts.prompts.family = "fake";
    parts.prompts.layout = fake_layout();
    parts.prompts.voices = {{"ada", "", "en", ""}, {"max", "", "en", ""}};
    parts.prompts.default_voice = "ada";
    parts.prompts.build = [](std::string_view, std::string_view text, std::string_view,
                             std::vector<TokenId>& out) -> Status {
      for (const char c : text) out.push_back(static_cast<uint8_t>(c));
      return ok_status();
    };
  }

  EngineParts parts;
  FakeLanguageModel* language_model;
  FakeCodec* codec;
};

}  // namespace lyre::test
