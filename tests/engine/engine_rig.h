#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/fake_models.h"
#include "lyre/base/log.h"
#include "lyre/codec/frame_assembler.h"
#include "lyre/engine/engine.h"
#include "lyre/engine/segment_joint.h"
#include "lyre/engine/segment_seeds.h"

namespace lyre::test {

/// An engine over doubles, to be set up before start().
struct EngineRig {
  explicit EngineRig(const FakeLanguageModel::Limits& limits =
                         FakeLanguageModel::Limits{.max_sequences = 8, .kv_tokens = 8000})
      : fakes(limits) {
    configure_logging({.level = LogLevel::kOff});  // injected failures would fill the screen
    config.max_batch = limits.max_sequences;
    config.max_sequence_tokens = 1000;
    config.buffer_seconds = 60;
  }

  Engine& start() {
    auto opened = Engine::assemble(config, std::move(fakes.parts));
    if (!opened) ADD_FAILURE() << opened.error().message;
    engine = *std::move(opened);
    return *engine;
  }

  /// Everything that was lent is back.
  testing::AssertionResult all_free() const {
    const EngineStats stats = engine->stats();
    if (stats.free_kv_tokens == stats.total_kv_tokens && stats.running == 0 && stats.queued == 0 &&
        fakes.codec->free_streams() == fakes.codec->info().max_streams) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure()
           << stats.free_kv_tokens << " of " << stats.total_kv_tokens << " KV tokens free, "
           << stats.running << " running, " << stats.queued << " queued, "
           << fakes.codec->free_streams() << " streams free";
  }

  EngineConfig config;
  FakeParts fakes;
  std::unique_ptr<Engine> engine;
};

inline SynthesisRequest request_of(std::string text, uint64_t seed = 1) {
  SynthesisRequest request;
  request.text = std::move(text);
  request.sampling.seed = seed;
  return request;
}

inline Speech submit(Engine& engine, const SynthesisRequest& request) {
  auto speech = engine.submit(request);
  if (!speech) {
    ADD_FAILURE() << speech.error().message;
    return {};
  }
  return *std::move(speech);
}

/// Reads to the end.
inline std::vector<float> read_all(PcmSource& pcm) {
  std::vector<float> samples;
  std::vector<float> part(1000);
  while (pcm.wait_readable()) {
    const size_t count = pcm.try_read(part);
    samples.insert(samples.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return samples;
}

inline std::vector<CodeFrame> frames_of_ids(std::span<const TokenId> ids) {
  FrameAssembler assembler(fake_layout());
  std::vector<CodeFrame> frames;
  for (const TokenId id : ids) {
    if (const auto frame = assembler.push(id)) frames.push_back(*frame);
  }
  return frames;
}

/// What the doubles speak for one segment.
inline std::vector<float> spoken(const std::string& segment, uint64_t seed, uint32_t number = 0) {
  const SegmentSeeds seeds = segment_seeds(seed, number);
  std::vector<TokenId> prompt;
  for (const char c : segment) prompt.push_back(static_cast<uint8_t>(c));
  return FakeCodec::whole(frames_of_ids(FakeLanguageModel::frames_of(prompt, seeds.sampling)),
                          seeds.noise);
}

/// The same of several, with the fades of the joints (4 ms of 24 kHz).
inline std::vector<float> spoken_segments(const std::vector<std::string>& segments, uint64_t seed) {
  SegmentJoint joint(96);
  std::vector<float> all;
  for (size_t i = 0; i < segments.size(); ++i) {
    std::vector<float> samples = spoken(segments[i], seed, static_cast<uint32_t>(i));
    if (i > 0) joint.next_segment();
    joint.shape(samples, i + 1 < segments.size());
    all.insert(all.end(), samples.begin(), samples.end());
  }
  return all;
}

/// Holds the engine thread in a hook until it is opened.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reached_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false, reached_ = false;
};

}  // namespace lyre::test
