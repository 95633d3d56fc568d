// A segment's way through the language model: begun, admitted, drawn, ended.

#include <algorithm>

#include "lyre/base/check.h"
#include "lyre/base/log.h"
#include "lyre/base/trace.h"
#include "lyre/engine/segment_seeds.h"
#include "lyre/engine/speech_loop.h"

namespace lyre {
namespace {

constinit trace::Operation kPrefill("lm.prefill", "tokens", "prompt_tokens"),
    kDecode("lm.decode", "tokens", "sequences");

}  // namespace

void SpeechLoop::begin_segment(SpeechTask& task, std::optional<SegmentRun>& slot, int segment,
                               Scheduler::Rank rank) {
  const SegmentPlan& plan = task.request.segments[static_cast<size_t>(segment)];
  int most_speech_tokens = plan.most_speech_tokens;
  if (task.request.max_tokens) most_speech_tokens = std::min(most_speech_tokens, task.tokens_left);
  const TaskId id = ++last_id_;
  slot.emplace(segment, id, most_speech_tokens, layout_);
  by_id_.emplace(id, &task);
  scheduler_.add(
      {.id = id,
       .prompt_tokens = plan.prompt_tokens,
       .kv_tokens = language_model_.kv_tokens_for(plan.prompt_tokens + most_speech_tokens),
       .arrived = task.submitted,
       .dry_at = task.playback.dry_at(),
       .rank = rank});
}

void SpeechLoop::look_ahead(SpeechTask& task, TimePoint now) {
  const auto following = static_cast<size_t>(task.current->segment) + 1;
  if (task.next || task.current->ended || following == task.request.segments.size()) return;
  if (task.request.max_tokens) return;  // what is left for the next segment is not known yet
  if (scheduler_.waiting() > 0) return;
  const int64_t heard_samples = task.stream_frames * codec_.info().samples_per_frame;
  const int64_t heard_ms = heard_samples * 1000 / codec_.info().sample_rate_hz;
  if (heard_ms < options_.lookahead.after.count()) return;
  if (task.playback.lead(now) >= options_.lookahead.lead_below) return;
  begin_segment(task, task.next, static_cast<int>(following), Scheduler::Rank::kLookahead);
}

void SpeechLoop::update_pauses(SpeechTask& task) {
  if (!task.current->ended) {
    const int frames = task.current->frames();  // that wait for their push
    const auto samples = static_cast<size_t>(frames * codec_.info().samples_per_frame);
    const bool full =
        frames > (overlaps_ ? 1 : 0) || task.sink.writable() < step_samples_ + samples;
    scheduler_.set_paused(task.current->task, full);
  }
  if (task.next && !task.next->ended) {
    scheduler_.set_paused(task.next->task, task.next->frames() == SegmentRun::kMostFrames);
  }
}

void SpeechLoop::admit(TimePoint now) {
  for (const TaskId id : plan_.admissions) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) continue;  // failed in this round
    SpeechTask& task = *found->second;
    SegmentRun& run = task.current->task == id ? *task.current : *task.next;
    const auto segment = static_cast<size_t>(run.segment);
    SequenceOptions options;
    options.sampling = task.request.sampling;
    options.sampling.seed =
        segment_seeds(task.request.sampling.seed, static_cast<uint32_t>(segment)).sampling;
    options.layout = layout_;
    options.max_tokens = task.request.segments[segment].prompt_tokens + run.most_speech_tokens;
    const auto sequence = language_model_.open(options);
    if (!sequence) {
      // The plan asked only for what was free, so waiting would not help.
      affected_.assign({&task});
      fail_affected(sequence.error());
      continue;
    }
    run.sequence = *sequence;
    scheduler_.on_admitted(id);
    if (task.admitted != TimePoint{}) continue;
    task.admitted = now;
    task.summary.queue_ms = milliseconds(now - task.submitted);
  }
}

void SpeechLoop::collect_slices() {
  planned_.clear();
  slices_.clear();
  for (const PlannedSlice& planned : plan_.slices) {
    const auto found = by_id_.find(planned.task);
    if (found == by_id_.end()) continue;  // failed in this round
    SpeechTask& task = *found->second;
    SegmentRun& run = task.current->task == planned.task ? *task.current : *task.next;
    const SegmentPlan& segment = task.request.segments[static_cast<size_t>(run.segment)];
    Slice slice;
    slice.sequence = run.sequence;
    if (planned.prompt_tokens > 0) {
      slice.prompt = std::span(task.request.prompt_ids)
                         .subspan(segment.first_id + static_cast<size_t>(run.prompt_taken),
                                  static_cast<size_t>(planned.prompt_tokens));
      const bool last = run.prompt_taken + planned.prompt_tokens == segment.prompt_tokens;
      slice.most_tokens = last ? 1 : 0;
    }
    planned_.push_back({&task, &run, planned.prompt_tokens});
    slices_.push_back(slice);
  }
  const int tokens = tokens_to_draw();
  for (Slice& slice : slices_) slice.most_tokens = std::min(slice.most_tokens, 1) * tokens;
}

/// How many tokens the sequences draw in one step: as many as none of them needs to complete its
/// frame, whose samples somebody waits for. One, where more would keep somebody waiting: for a
/// place, or for the rest of his prompt.
int SpeechLoop::tokens_to_draw() const {
  if (!language_model_.info().draws_several || scheduler_.somebody_waits()) return 1;
  int tokens = SliceResult::kMostTokens;
  for (size_t i = 0; i < planned_.size(); ++i) {
    if (slices_[i].most_tokens == 0) return 1;
    const SegmentRun& run = *planned_[i].run;
    tokens = std::min({tokens, CodeLayout::kSlots - run.assembler.pending_slots(),
                       run.most_speech_tokens - run.drawn});
  }
  return std::max(1, tokens);
}

bool SpeechLoop::step_language_model() {
  collect_slices();
  if (slices_.empty()) return false;
  results_.assign(slices_.size(), SliceResult{});
  const Status status = run_step();
  ++counters_.steps;
  if (!status) {
    affected_.clear();
    for (const Planned& planned : planned_) affected_.push_back(planned.task);
    fail_affected(status.error());
  } else {
    for (size_t i = 0; i < planned_.size(); ++i) take_tokens(planned_[i], results_[i]);
  }
  settle();
  return true;
}

Status SpeechLoop::run_step() {
  int64_t prompt_tokens = 0, tokens = 0;
  for (const Planned& planned : planned_) prompt_tokens += planned.prompt_tokens;
  trace::Span span(prompt_tokens > 0 ? kPrefill : kDecode);
  const Status status = overlaps_ ? step_beside_codec() : language_model_.step(slices_, results_);
  for (const SliceResult& result : results_) tokens += result.count;
  span.set_argument(0, tokens);
  span.set_argument(1, prompt_tokens > 0 ? prompt_tokens : static_cast<int64_t>(slices_.size()));
  return status;
}

Status SpeechLoop::step_beside_codec() {
  LYRE_RETURN_IF_ERROR(language_model_.begin_step(slices_, results_));
  stepping_ = true;
  push_frames();
  Status status = language_model_.end_step();
  stepping_ = false;
  return status;
}

void SpeechLoop::take_tokens(const Planned& planned, const SliceResult& result) {
  SpeechTask& task = *planned.task;
  SegmentRun& run = *planned.run;
  if (planned.prompt_tokens > 0) {
    run.prompt_taken += planned.prompt_tokens;
    scheduler_.on_prompt(run.task, planned.prompt_tokens);
    const auto segment = static_cast<size_t>(run.segment);
    if (run.prompt_taken < task.request.segments[segment].prompt_tokens) return;
    if (run.segment == 0) task.summary.prefill_ms = milliseconds_since(task.admitted);
  }
  for (int i = 0; i < result.count; ++i) {
    ++run.drawn;
    --task.tokens_left;
    ++task.summary.generated_tokens;
    if (!task.request.warm_up) ++counters_.tokens;
    if (result.stopped && i + 1 == result.count) return end_run(task, run, true);
    if (const auto frame = run.assembler.push(result.tokens[i])) run.put(*frame);
  }
  // No token at all: the sequence is full.
  if (result.count == 0 || run.drawn >= run.most_speech_tokens) end_run(task, run, false);
}

void SpeechLoop::end_run(SpeechTask& task, SegmentRun& run, bool stopped) {
  run.ended = true;
  forget_run(run);
  int64_t dropped = run.assembler.dropped_frames();
  if (stopped && run.assembler.pending_slots() > 0) ++dropped;
  task.summary.dropped_frames += dropped;
  counters_.dropped_frames += dropped;
  if (stopped) return;
  task.summary.reason = FinishReason::kLength;
  if (task.request.warm_up) return;  // its limit is meant
  log_warning("speech was cut at its limit of tokens", {{"segment", run.segment},
                                                        {"segments", task.request.segments.size()},
                                                        {"tokens", run.drawn},
                                                        {"limit", run.most_speech_tokens},
                                                        {"seed", task.request.sampling.seed}});
}

void SpeechLoop::forget_run(SegmentRun& run) noexcept {
  if (run.sequence >= 0) language_model_.close(run.sequence);
  run.sequence = -1;
  scheduler_.remove(run.task);
  by_id_.erase(run.task);
}

}  // namespace lyre
