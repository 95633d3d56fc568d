#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/engine/scheduler.h"
#include "lyre/engine/speech_task.h"
#include "lyre/engine/wake_signal.h"

namespace lyre {

/// The engine thread: takes requests in, and repeats
///
///   plan -> one step of the language model -> frames -> pushes of the codec -> samples out
///
/// until nothing is left to do, when it sleeps. A frame goes to the codec in the round in which it
/// is complete, with those of all other streams; there is no timer. Whatever else runs, a stream is
/// pushed one frame at a time, so that its samples do not depend on company.
///
/// Overlap. Where the language model steps in the background, a frame goes to the codec beside the
/// step that follows the one which completed it, so that the device has work for both at once:
///
///   plan -> begin the step -> frames of the round before -> end the step -> tokens
///
/// Between the two halves nothing may be asked of the language model. What a push ends meanwhile, a
/// segment or by a failure a request, is put down and settled behind the step.
///
/// Room. A sequence is stepped only if its channel holds whatever that step can bring, beside the
/// frame that may still wait for its push: the samples of each frame, and those that the codec owes
/// and flushes if the speech ends. So a push never fails for want of room, and a slow reader pauses
/// nobody but himself.
///
/// Thread contract: post(), between_rounds(), drain(), stats() and health() from any thread;
/// everything else is of the loop's own thread, which alone touches the models.
class SpeechLoop {
 public:
  struct Options {
    int max_batch = 0;
    int most_requests = 0;       // in flight: running and waiting; more are refused
    int first_chunk_frames = 1;  // of a fast start
    LookaheadPolicy lookahead;
    /// Idle for so long, the loop runs keep_warm and goes on waiting; 0: never. keep_warm gets a
    /// function that tells whether a request has come, before which it should give way.
    std::chrono::nanoseconds keep_warm_after{0};
    std::function<void(const std::function<bool()>& wanted)> keep_warm;
  };
  struct Models {
    LanguageModel& language_model;
    Codec& codec;
    const CodeLayout& layout;
  };

  SpeechLoop(const Models& models, const Options& options);
  ~SpeechLoop();  // what still runs ends with kUnavailable
  SpeechLoop(const SpeechLoop&) = delete;
  SpeechLoop& operator=(const SpeechLoop&) = delete;

  /// Why a request would be refused now, if it would: kResourceExhausted, kUnavailable,
  /// kDeviceLost.
  Status admissible() const;
  /// Takes the request, or refuses it as admissible() does.
  Status post(std::unique_ptr<SpeechTask> task);
  /// To be called by the channels' readers.
  const std::shared_ptr<WakeSignal>& wake() const noexcept { return wake_; }
  /// Samples that one step can bring, at most: a channel must hold them, twice where a frame may
  /// wait while the next one is drawn.
  size_t step_samples() const noexcept { return step_samples_; }
  int fade_samples() const noexcept { return fade_samples_; }

  /// Runs `work` on the loop's thread as soon as the present round is over, and returns what it
  /// returned; work of one call does not follow work of another without a round between them.
  /// kUnavailable if the loop ends first. Not from the loop's thread; `work` must not throw.
  Status between_rounds(const std::function<Status()>& work);

  bool drain(std::chrono::milliseconds most_wait);
  EngineStats stats() const noexcept;
  Status health() const;

 private:
  struct Planned {
    SpeechTask* task;
    SegmentRun* run;
    int prompt_tokens;
  };
  struct Speaking {
    SpeechTask* task;
    bool flush;
  };
  struct Failure {
    Error error;
    std::vector<SpeechTask*> tasks;
  };
  struct Counters {
    std::atomic<int64_t> submitted{0}, finished{0}, failed{0}, cancelled{0}, cut{0};
    std::atomic<int64_t> steps{0}, tokens{0}, frames{0}, dropped_frames{0};
    std::atomic<int> running{0}, queued{0}, free_sequences{0};
    std::atomic<int64_t> free_kv_tokens{0}, total_kv_tokens{0};
    std::atomic<int64_t> keep_warm_runs{0}, keep_warm_ns{0};
  };
  struct Errand {  // of between_rounds(); lives in its caller
    const std::function<Status()>& work;
    Status outcome = ok_status();
    bool done = false;
  };

  Status admissible_locked() const;

  // The rounds: speech_loop.cc.
  void run();
  bool take_posted();  // false: stop
  void take_text();
  void drop_cancelled();
  bool round(TimePoint now);  // false: nothing to do
  void plan_round(TimePoint now);
  bool run_errand();  // false: there was none
  void rest();
  void lose_device(const Error& error);
  void end_everything();
  void publish_counters() noexcept;

  // A segment's way through the language model: speech_loop_draw.cc.
  void begin_segment(SpeechTask& task, std::optional<SegmentRun>& slot, int segment,
                     Scheduler::Rank rank);
  void look_ahead(SpeechTask& task, TimePoint now);
  void update_pauses(SpeechTask& task);
  void admit(TimePoint now);
  bool step_language_model();
  void collect_slices();
  int tokens_to_draw() const;
  Status run_step();
  Status step_beside_codec();
  void take_tokens(const Planned& planned, const SliceResult& result);
  void end_run(SpeechTask& task, SegmentRun& run, bool stopped);
  void forget_run(SegmentRun& run) noexcept;

  // A frame's way through the codec: speech_loop_sound.cc.
  bool push_frames();
  Status run_push();
  bool collect_work(SpeechTask& task);
  bool open_stream(SpeechTask& task);
  void deliver(const Speaking& speaking, const PcmSpan& pcm, TimePoint now);
  void hand_over(const Speaking& speaking, const PcmSpan& pcm, TimePoint now);
  void close_stream(SpeechTask& task) noexcept;
  void end_segment(SpeechTask& task);
  bool stop_at_max_tokens(SpeechTask& task);  // true: it was finished

  // Ends of a request: speech_loop.cc. Everything is given back before the reader hears of it.
  void finish(SpeechTask& task);
  void fail(SpeechTask& task, const Error& error);
  void cancel(SpeechTask& task);
  void fail_affected(const Error& error);
  void settle();
  void release(SpeechTask& task) noexcept;

  LanguageModel& language_model_;
  Codec& codec_;
  const CodeLayout layout_;
  const Options options_;
  const int fade_samples_;
  const size_t step_samples_;
  const bool overlaps_;  // the language model steps in the background

  // Of the loop's thread.
  Scheduler scheduler_;
  std::vector<std::unique_ptr<SpeechTask>> tasks_;
  std::unordered_map<TaskId, SpeechTask*> by_id_;
  TaskId last_id_ = 0;
  StepPlan plan_;
  std::vector<Planned> planned_;
  std::vector<Slice> slices_;
  std::vector<SliceResult> results_;
  std::vector<Speaking> speaking_;
  std::vector<CodecWork> work_;
  std::vector<PcmSpan> pcm_;
  std::vector<float> samples_;
  std::vector<SpeechTask*> affected_;                  // by a failed step or push
  bool stepping_ = false;                              // between the halves of a step
  std::vector<SpeechTask*> spoken_;                    // meanwhile: their segment is at its end
  std::vector<Failure> failures_;                      // meanwhile
  std::vector<std::unique_ptr<SpeechTask>> arrivals_;  // swapped with posted_

  // Between threads.
  const std::shared_ptr<WakeSignal> wake_ = std::make_shared<WakeSignal>();
  Counters counters_;
  mutable std::mutex mutex_;
  std::condition_variable all_ended_;
  std::vector<std::unique_ptr<SpeechTask>> posted_;
  std::vector<Errand*> errands_;
  std::condition_variable errand_done_;
  int in_flight_ = 0;
  bool draining_ = false, stopping_ = false;
  std::optional<Error> lost_;

  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace lyre
