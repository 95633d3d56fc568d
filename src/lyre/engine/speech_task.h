#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/base/check.h"
#include "lyre/base/clock.h"
#include "lyre/codec/codec.h"
#include "lyre/codec/fast_start.h"
#include "lyre/codec/frame_assembler.h"
#include "lyre/engine/playback_clock.h"
#include "lyre/engine/prepare_request.h"
#include "lyre/engine/scheduler.h"
#include "lyre/engine/segment_joint.h"
#include "lyre/engine/text_inbox.h"
#include "lyre/lm/language_model.h"

namespace lyre {

/// A segment while the language model speaks it, up to the frames that the codec has not taken yet.
struct SegmentRun {
  /// A segment that is drawn before its turn waits with so many frames: enough for the codec to
  /// make its first final samples from, for which SNAC must know a frame and the three after it.
  /// Of a segment that has its turn one frame waits beside a step, and another while every stream
  /// of the codec is in use.
  static constexpr int kMostFrames = 4;

  SegmentRun(int number, TaskId id, int most_tokens, const CodeLayout& layout)
      : segment(number), task(id), most_speech_tokens(most_tokens), assembler(layout) {}

  const int segment;
  const TaskId task;
  const int most_speech_tokens;
  SequenceId sequence = -1;  // -1: not admitted, or ended
  int prompt_taken = 0;
  int drawn = 0;
  FrameAssembler assembler;
  bool ended = false;
  bool cut = false;  // ended at a limit

  void put(const CodeFrame& frame) {
    LYRE_CHECK(frame_count_ < kMostFrames);
    frames_[static_cast<size_t>((first_frame_ + frame_count_++) % kMostFrames)] = frame;
  }
  /// The oldest frame; it stays where it is until the next put().
  const CodeFrame& take() {
    LYRE_CHECK(frame_count_ > 0);
    const CodeFrame& frame = frames_[static_cast<size_t>(first_frame_)];
    first_frame_ = (first_frame_ + 1) % kMostFrames;
    --frame_count_;
    return frame;
  }
  int frames() const noexcept { return frame_count_; }

 private:
  std::array<CodeFrame, kMostFrames> frames_;
  int first_frame_ = 0, frame_count_ = 0;
};

/// A request on its way through the engine. Built by submit(), then of the engine thread alone.
struct SpeechTask {
  SpeechTask(PreparedRequest prepared, std::shared_ptr<TextInbox> more_text, PcmSink out,
             TimePoint now, int first_chunk_frames, int fade_samples)
      : request(std::move(prepared)),
        inbox(std::move(more_text)),
        sink(std::move(out)),
        submitted(now),
        playback(now),
        fast_start(request.fast_start, first_chunk_frames, fade_samples),
        joint(static_cast<size_t>(fade_samples)) {}

  PreparedRequest request;
  const std::shared_ptr<TextInbox> inbox;  // null: the request has all its text
  PcmSink sink;
  TimePoint submitted;  // of its text: where more follows, when the first was complete
  bool done = false;    // nothing is held any more; to be deleted
  bool ending = false;  // to be settled behind the step that runs: nothing more goes to the codec

  // The language model. `next` is the segment after `current`, begun early. Without a current one
  // the task waits for text.
  std::optional<SegmentRun> current, next;
  int tokens_left = 0;  // of request.max_tokens, if it is set

  // The codec and what is done to its samples.
  StreamId stream = -1;
  int64_t stream_frames = 0;  // pushed to this stream
  PlaybackClock playback;
  FastStart fast_start;  // of this segment; only the first may start fast
  SegmentJoint joint;

  SpeechSummary summary;
  TimePoint admitted{};  // when the first sequence was there
};

}  // namespace lyre
