#include "lyre/engine/text_inbox.h"

namespace lyre {

bool TextInbox::put(const std::vector<TokenId>& prompt_ids,
                    const std::vector<SegmentPlan>& segments, bool last) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || closed_) return false;
    closed_ = last;
    for (SegmentPlan segment : segments) {
      segment.first_id += prompt_ids_.size();
      segments_.push_back(segment);
    }
    prompt_ids_.insert(prompt_ids_.end(), prompt_ids.begin(), prompt_ids.end());
    if (!segments.empty()) resting_ = false;
  }
  loop_->notify();
  return true;
}

bool TextInbox::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool TextInbox::idle() const {
  const std::lock_guard lock(mutex_);
  return resting_ || ended_;
}

bool TextInbox::take(std::vector<TokenId>& prompt_ids, std::vector<SegmentPlan>& segments) {
  const std::lock_guard lock(mutex_);
  for (SegmentPlan segment : segments_) {
    segment.first_id += prompt_ids.size();
    segments.push_back(segment);
  }
  prompt_ids.insert(prompt_ids.end(), prompt_ids_.begin(), prompt_ids_.end());
  segments_.clear();
  prompt_ids_.clear();
  return !closed_;
}

bool TextInbox::open() const {
  const std::lock_guard lock(mutex_);
  return !closed_ || !segments_.empty();
}

void TextInbox::rest() {
  const std::lock_guard lock(mutex_);
  resting_ = segments_.empty();
}

void TextInbox::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
}

}  // namespace lyre
