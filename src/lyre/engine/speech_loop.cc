#include "lyre/engine/speech_loop.h"

#include <algorithm>

#include "lyre/base/check.h"
#include "lyre/base/log.h"
#include "lyre/base/trace.h"

namespace lyre {
namespace {

// Long enough for no click to be heard, short enough to leave every sound its shape.
constexpr int kFadeMs = 4;

constinit trace::Operation kPlan("engine.plan"), kErrand("engine.errand"),
    kKeepWarm("engine.keep_warm"), kWaitRequests("wait.requests"), kWaitReader("wait.reader");

}  // namespace

SpeechLoop::SpeechLoop(const Models& models, const Options& options)
    : language_model_(models.language_model),
      codec_(models.codec),
      layout_(models.layout),
      options_(options),
      fade_samples_(codec_.info().sample_rate_hz * kFadeMs / 1000),
      step_samples_(static_cast<size_t>(codec_.info().samples_per_frame +
                                        codec_.info().final_delay_samples + fade_samples_)),
      overlaps_(language_model_.info().steps_in_background),
      // Every request has at most two segments in work.
      scheduler_(Scheduler::Policy{}, 2 * options.most_requests) {
  const auto requests = static_cast<size_t>(options.most_requests);
  const auto batch = static_cast<size_t>(options.max_batch);
  tasks_.reserve(requests);
  posted_.reserve(requests);
  arrivals_.reserve(requests);
  by_id_.reserve(2 * requests);
  affected_.reserve(requests);
  spoken_.reserve(requests);
  errands_.reserve(4);
  plan_.admissions.reserve(2 * requests);
  plan_.slices.reserve(batch);
  planned_.reserve(batch);
  slices_.reserve(batch);
  results_.reserve(batch);
  speaking_.reserve(requests);
  work_.reserve(requests);
  pcm_.reserve(requests);
  samples_.reserve(2 * step_samples_);
  counters_.total_kv_tokens = language_model_.free_kv_tokens();
  publish_counters();
  thread_ = std::jthread([this] { run(); });
}

SpeechLoop::~SpeechLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_->notify();
  thread_.join();
}

Status SpeechLoop::admissible_locked() const {
  if (lost_) return *lost_;
  if (draining_ || stopping_) {
    return Error{ErrorCode::kUnavailable, "the engine is shutting down"};
  }
  if (in_flight_ >= options_.most_requests) {
    return Error{ErrorCode::kResourceExhausted,
                 "the queue is full: " + std::to_string(in_flight_) +
                     " requests run or wait, as many as are allowed; try again later"};
  }
  return ok_status();
}

Status SpeechLoop::admissible() const {
  const std::lock_guard lock(mutex_);
  return admissible_locked();
}

Status SpeechLoop::post(std::unique_ptr<SpeechTask> task) {
  {
    const std::lock_guard lock(mutex_);
    LYRE_RETURN_IF_ERROR(admissible_locked());
    ++in_flight_;
    if (!task->request.warm_up) ++counters_.submitted;
    posted_.push_back(std::move(task));
  }
  wake_->notify();
  return ok_status();
}

bool SpeechLoop::drain(std::chrono::milliseconds most_wait) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  return all_ended_.wait_for(lock, most_wait, [&] { return in_flight_ == 0; });
}

Status SpeechLoop::health() const {
  const std::lock_guard lock(mutex_);
  if (lost_) return *lost_;
  return ok_status();
}

Status SpeechLoop::between_rounds(const std::function<Status()>& work) {
  Errand errand{work};
  std::unique_lock lock(mutex_);
  if (lost_) return *lost_;
  if (stopping_) return Error{ErrorCode::kUnavailable, "the engine is shutting down"};
  errands_.push_back(&errand);
  lock.unlock();
  wake_->notify();
  lock.lock();
  errand_done_.wait(lock, [&] { return errand.done; });
  return std::move(errand.outcome);
}

EngineStats SpeechLoop::stats() const noexcept {
  EngineStats stats;
  stats.requests_submitted = counters_.submitted;
  stats.requests_finished = counters_.finished;
  stats.requests_failed = counters_.failed;
  stats.requests_cancelled = counters_.cancelled;
  stats.requests_cut = counters_.cut;
  stats.steps = counters_.steps;
  stats.tokens = counters_.tokens;
  stats.frames = counters_.frames;
  stats.dropped_frames = counters_.dropped_frames;
  stats.running = counters_.running;
  stats.queued = counters_.queued;
  stats.free_kv_tokens = counters_.free_kv_tokens;
  stats.total_kv_tokens = counters_.total_kv_tokens;
  stats.free_sequences = counters_.free_sequences;
  stats.keep_warm_runs = counters_.keep_warm_runs;
  stats.keep_warm_seconds = static_cast<double>(counters_.keep_warm_ns) * 1e-9;
  return stats;
}

void SpeechLoop::publish_counters() noexcept {
  int running = 0, queued = 0;
  for (const auto& task : tasks_) {
    if (task->done || !task->current) continue;  // the latter waits for text, not for us
    ++(task->admitted == TimePoint{} ? queued : running);
  }
  counters_.running = running;
  counters_.queued = queued;
  counters_.free_sequences = language_model_.free_sequences();
  counters_.free_kv_tokens = language_model_.free_kv_tokens();
}

void SpeechLoop::run() {
  trace::name_thread("engine");
  for (;;) {
    wake_->clear();
    if (!take_posted()) break;
    take_text();
    drop_cancelled();
    bool worked = round(Clock::now());
    worked = run_errand() || worked;
    std::erase_if(tasks_, [](const auto& task) { return task->done; });
    publish_counters();
    if (!worked) rest();
  }
  end_everything();
}

bool SpeechLoop::run_errand() {
  Errand* errand = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (errands_.empty()) return false;
    errand = errands_.front();
    errands_.erase(errands_.begin());
    if (lost_) {
      errand->outcome = *lost_;
      errand->done = true;
      errand_done_.notify_all();
      return true;
    }
  }
  Status outcome = [&] {
    const trace::Span span(kErrand);
    return errand->work();
  }();
  if (!outcome && outcome.error().code == ErrorCode::kDeviceLost) {
    lose_device(outcome.error());
    for (SpeechTask* task : affected_) fail(*task, outcome.error());
  }
  const std::lock_guard lock(mutex_);
  errand->outcome = std::move(outcome);
  errand->done = true;
  errand_done_.notify_all();
  return true;
}

void SpeechLoop::rest() {
  // With tasks the loop waits for a reader, not for work: nothing has time to go cold.
  const trace::Span span(tasks_.empty() ? kWaitRequests : kWaitReader);
  const bool keep_warm = options_.keep_warm_after.count() > 0 && options_.keep_warm;
  if (!keep_warm || !tasks_.empty()) return wake_->wait();
  while (!wake_->wait_for(options_.keep_warm_after)) {
    const trace::Span keep_warm_span(kKeepWarm);
    const TimePoint start = Clock::now();
    options_.keep_warm([this] { return wake_->pending(); });
    ++counters_.keep_warm_runs;
    counters_.keep_warm_ns += (Clock::now() - start).count();
  }
}

bool SpeechLoop::take_posted() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    arrivals_.swap(posted_);
  }
  for (auto& task : arrivals_) {
    task->tokens_left = task->request.max_tokens.value_or(0);
    for (const SegmentPlan& segment : task->request.segments) {
      task->summary.prompt_tokens += segment.prompt_tokens;
    }
    if (!task->request.segments.empty()) {
      begin_segment(*task, task->current, 0, Scheduler::Rank::kSpeech);
    }
    tasks_.push_back(std::move(task));
  }
  arrivals_.clear();
  return true;
}

/// Takes in the text that has followed, and ends what nothing will follow any more.
void SpeechLoop::take_text() {
  for (const auto& task : tasks_) {
    if (!task->inbox || task->done) continue;
    PreparedRequest& request = task->request;
    const size_t known = request.segments.size();
    const bool open = task->inbox->take(request.prompt_ids, request.segments);
    for (size_t i = known; i < request.segments.size(); ++i) {
      task->summary.prompt_tokens += request.segments[i].prompt_tokens;
    }
    if (task->current) continue;
    if (known == request.segments.size()) {
      if (!open) finish(*task);
      continue;
    }
    if (known == 0) {
      task->submitted = Clock::now();
      task->playback = PlaybackClock(task->submitted);
    } else if (stop_at_max_tokens(*task)) {
      continue;
    }
    begin_segment(*task, task->current, static_cast<int>(known), Scheduler::Rank::kSpeech);
  }
}

void SpeechLoop::drop_cancelled() {
  for (const auto& task : tasks_) {
    if (!task->done && task->sink.closed()) cancel(*task);
  }
  std::erase_if(tasks_, [](const auto& task) { return task->done; });
}

bool SpeechLoop::round(TimePoint now) {
  plan_round(now);
  const bool stepped = step_language_model();
  // Beside a step the frames of the round before have gone; those that it made go beside the next.
  const bool pushed = (!stepped || !overlaps_) && push_frames();
  return stepped || pushed || !plan_.admissions.empty();
}

void SpeechLoop::plan_round(TimePoint now) {
  const trace::Span span(kPlan);
  for (const auto& task : tasks_) {
    if (!task->current) continue;
    look_ahead(*task, now);
    update_pauses(*task);
  }
  const Capacity capacity = {
      .max_batch = options_.max_batch,
      .max_batch_tokens = language_model_.info().max_batch_tokens,
      .free_sequences = language_model_.free_sequences(),
      .free_kv_tokens = language_model_.free_kv_tokens(),
  };
  scheduler_.plan(capacity, now, plan_);
  admit(now);
}

void SpeechLoop::end_everything() {
  {
    const std::lock_guard lock(mutex_);
    arrivals_.swap(posted_);
    for (Errand* errand : errands_) {
      errand->outcome = Error{ErrorCode::kUnavailable, "the engine is shutting down"};
      errand->done = true;
    }
    errands_.clear();
    errand_done_.notify_all();
  }
  for (auto& task : arrivals_) tasks_.push_back(std::move(task));
  for (const auto& task : tasks_) {
    fail(*task, Error{ErrorCode::kUnavailable, "the engine is shutting down"});
  }
  tasks_.clear();
}

void SpeechLoop::finish(SpeechTask& task) {
  if (task.sink.closed()) return cancel(task);
  task.summary.total_ms = milliseconds_since(task.submitted);
  if (task.summary.frames == 0 && task.summary.segments > 0 && !task.request.warm_up) {
    log_warning("the model ended the speech before its first frame",
                {{"voice", task.request.voice}, {"seed", task.request.sampling.seed}});
  }
  if (!task.request.warm_up) {
    if (task.summary.reason == FinishReason::kLength) ++counters_.cut;
    ++counters_.finished;
  }
  release(task);
  task.sink.finish(task.summary);
}

void SpeechLoop::fail(SpeechTask& task, const Error& error) {
  if (task.done) return;
  if (!task.request.warm_up) ++counters_.failed;
  release(task);
  task.sink.finish(error);
}

void SpeechLoop::cancel(SpeechTask& task) {
  if (!task.request.warm_up) ++counters_.cancelled;
  release(task);
  task.sink.finish(Error{ErrorCode::kCancelled, "the reader went away"});
}

void SpeechLoop::fail_affected(const Error& error) {
  if (stepping_) {
    for (SpeechTask* task : affected_) task->ending = true;
    failures_.push_back({error, affected_});
    return;
  }
  log_error("speech failed", {{"code", error_code_name(error.code)},
                              {"error", error.message},
                              {"requests", affected_.size()}});
  if (error.code == ErrorCode::kDeviceLost) lose_device(error);
  for (SpeechTask* task : affected_) fail(*task, error);
}

/// Ends what the pushes beside the step have ended; the step itself may have failed meanwhile.
void SpeechLoop::settle() {
  for (SpeechTask* task : spoken_) {
    task->ending = false;
    if (!task->done) end_segment(*task);
  }
  spoken_.clear();
  for (Failure& failure : failures_) {
    affected_.swap(failure.tasks);
    fail_affected(failure.error);
  }
  failures_.clear();
}

/// Nothing on the device can be trusted any more: everybody is affected, and nobody comes in.
void SpeechLoop::lose_device(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    lost_ = error;
  }
  affected_.clear();
  for (const auto& task : tasks_) affected_.push_back(task.get());
}

void SpeechLoop::release(SpeechTask& task) noexcept {
  LYRE_CHECK(!task.done && !stepping_);
  task.done = true;
  for (auto* run : {&task.current, &task.next}) {
    if (!run->has_value()) continue;
    forget_run(**run);
    run->reset();
  }
  close_stream(task);
  if (task.inbox) task.inbox->end();
  publish_counters();
  const std::lock_guard lock(mutex_);
  --in_flight_;
  if (in_flight_ == 0) all_ended_.notify_all();
}

}  // namespace lyre
