#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "lyre/engine/prepare_request.h"
#include "lyre/engine/wake_signal.h"

namespace lyre {

/// Segments on their way from whoever writes a text to the engine thread that speaks it. Any
/// thread.
class TextInbox {
 public:
  /// `loop` is woken by all that its thread must hear of.
  explicit TextInbox(std::shared_ptr<WakeSignal> loop) : loop_(std::move(loop)) {}

  // The writer's side.

  /// False once the speech has ended: nobody will speak them. first_id counts from these ids.
  /// last: nothing will follow. Said with the last segment, not after it, for the end of a speech
  /// is shaped otherwise than a joint.
  bool put(const std::vector<TokenId>& prompt_ids, const std::vector<SegmentPlan>& segments,
           bool last);
  bool ended() const;
  /// What was put has been spoken.
  bool idle() const;

  // The engine thread's side.

  /// Appends what was put. False once nothing will follow.
  bool take(std::vector<TokenId>& prompt_ids, std::vector<SegmentPlan>& segments);
  bool open() const;  // something may follow
  void rest();        // everything taken is spoken
  void end();         // the speech has ended

 private:
  const std::shared_ptr<WakeSignal> loop_;
  mutable std::mutex mutex_;
  std::vector<TokenId> prompt_ids_;
  std::vector<SegmentPlan> segments_;
  bool closed_ = false, ended_ = false, resting_ = true;
};

}  // namespace lyre
