// A frame's way through the codec, and the samples' way into the channel.

#include <algorithm>

#include "lyre/base/check.h"
#include "lyre/base/log.h"
#include "lyre/base/trace.h"
#include "lyre/engine/segment_seeds.h"
#include "lyre/engine/speech_loop.h"

namespace lyre {
namespace {

constinit trace::Operation kPush("codec.push", "frames", "streams"),
    kDeliver("engine.deliver", "samples");

}  // namespace

bool SpeechLoop::push_frames() {
  bool worked = false;
  // One frame of each stream a push. More than one round only where a segment that was begun early
  // gets its turn, or a speech ends: the flush is a push of its own.
  for (;;) {
    work_.clear();
    speaking_.clear();
    bool progress = false;
    for (const auto& task : tasks_) {
      if (task->done || task->ending || !task->current) continue;
      progress = collect_work(*task) || progress;
    }
    if (!progress) return worked;
    worked = true;
    // The device was lost when a stream was to be opened: those collected before have ended, too.
    const auto ended = [](const Speaking& speaking) { return speaking.task->done; };
    if (std::any_of(speaking_.begin(), speaking_.end(), ended)) return worked;
    if (work_.empty()) continue;

    pcm_.assign(work_.size(), PcmSpan{});
    const Status status = run_push();
    if (!status) {
      affected_.clear();
      for (const Speaking& speaking : speaking_) affected_.push_back(speaking.task);
      fail_affected(status.error());
      continue;
    }
    const TimePoint now = Clock::now();
    for (size_t i = 0; i < speaking_.size(); ++i) deliver(speaking_[i], pcm_[i], now);
  }
}

Status SpeechLoop::run_push() {
  int64_t frames = 0;
  for (const CodecWork& work : work_) frames += static_cast<int64_t>(work.frames.size());
  const trace::Span span(kPush, frames, static_cast<int64_t>(work_.size()));
  return codec_.push(work_, pcm_);
}

/// True if the task came further, be it without work for the codec.
bool SpeechLoop::collect_work(SpeechTask& task) {
  SegmentRun& run = *task.current;
  if (run.frames() == 0 && !run.ended) return false;
  if (task.sink.writable() < step_samples_) return false;
  if (run.frames() > 0) {
    if (task.stream < 0 && !open_stream(task)) return task.done || task.ending;
    ++task.stream_frames;
    const bool preview = task.fast_start.wants_preview(task.stream_frames);
    work_.push_back(
        {.stream = task.stream, .frames = {&run.take(), 1}, .finish = false, .preview = preview});
    speaking_.push_back({&task, false});
    return true;
  }
  if (task.stream < 0) {  // the model spoke nothing
    end_segment(task);
    return true;
  }
  work_.push_back({.stream = task.stream, .frames = {}, .finish = true, .preview = false});
  speaking_.push_back({&task, true});
  return true;
}

bool SpeechLoop::open_stream(SpeechTask& task) {
  if (codec_.free_streams() == 0) return false;  // those in use end some day
  const auto segment = static_cast<uint32_t>(task.current->segment);
  const auto stream = codec_.open(
      {.noise_seed = segment_seeds(task.request.sampling.seed, segment).noise, .noise = true});
  if (!stream) {
    affected_.assign({&task});
    fail_affected(stream.error());
    return false;
  }
  task.stream = *stream;
  task.stream_frames = 0;
  return true;
}

void SpeechLoop::deliver(const Speaking& speaking, const PcmSpan& pcm, TimePoint now) {
  hand_over(speaking, pcm, now);
  if (!speaking.flush) return;
  close_stream(*speaking.task);
  end_segment(*speaking.task);
}

void SpeechLoop::hand_over(const Speaking& speaking, const PcmSpan& pcm, TimePoint now) {
  trace::Span span(kDeliver);
  SpeechTask& task = *speaking.task;
  const SegmentRun& run = *task.current;
  const auto following = static_cast<size_t>(run.segment) + 1;
  if (!speaking.flush) {
    ++task.summary.frames;
    if (!task.request.warm_up) ++counters_.frames;
  }
  samples_.clear();
  task.fast_start.feed(pcm, samples_);
  const bool more = following < task.request.segments.size() || (task.inbox && task.inbox->open());
  task.joint.shape(samples_, speaking.flush && more);
  span.set_argument(0, static_cast<int64_t>(samples_.size()));
  const PushStatus pushed = task.sink.push(samples_);
  LYRE_CHECK(pushed != PushStatus::kFull);  // see "Room" above the class
  // A reader that has gone is noticed at the beginning of the next round.
  if (!samples_.empty()) {
    if (task.summary.samples == 0) task.summary.first_audio_ms = milliseconds(now - task.submitted);
    task.summary.samples += static_cast<int64_t>(samples_.size());
    task.playback.on_audio(std::chrono::nanoseconds(static_cast<int64_t>(samples_.size()) *
                                                    1'000'000'000 / codec_.info().sample_rate_hz),
                           now);
    if (!run.ended) scheduler_.on_audio(run.task, task.playback.dry_at());
  }
}

void SpeechLoop::close_stream(SpeechTask& task) noexcept {
  if (task.stream >= 0) codec_.close(task.stream);
  task.stream = -1;
}

void SpeechLoop::end_segment(SpeechTask& task) {
  if (stepping_) {
    task.ending = true;
    return spoken_.push_back(&task);
  }
  ++task.summary.segments;
  const auto following = static_cast<size_t>(task.current->segment) + 1;
  const bool all_spoken = following == task.request.segments.size();
  if (all_spoken && !task.inbox) return finish(task);
  if (!all_spoken && stop_at_max_tokens(task)) return;
  task.joint.next_segment();
  task.fast_start = FastStart(false, options_.first_chunk_frames, fade_samples_);
  task.current.reset();
  if (all_spoken) {
    // take_text() ends it, or goes on when there is more.
    task.inbox->rest();
    return task.sink.nudge();
  }
  if (!task.next) {
    return begin_segment(task, task.current, static_cast<int>(following), Scheduler::Rank::kSpeech);
  }
  task.current.emplace(*task.next);
  task.next.reset();
  if (!task.current->ended) scheduler_.promote(task.current->task, task.playback.dry_at());
}

bool SpeechLoop::stop_at_max_tokens(SpeechTask& task) {
  if (!task.request.max_tokens || task.tokens_left >= CodeLayout::kSlots) return false;
  task.summary.reason = FinishReason::kLength;
  log_warning("speech was cut at max_tokens", {{"max_tokens", *task.request.max_tokens},
                                               {"segments", task.request.segments.size()},
                                               {"spoken", task.summary.segments}});
  finish(task);
  return true;
}

}  // namespace lyre
