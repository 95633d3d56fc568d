#include "lyre/engine/speech_text.h"

#include <utility>

#include "lyre/base/log.h"

namespace lyre {

SpeechText::Impl::Impl(const EngineConfig& config, const SpeechPrompts& prompts,
                       const SpeechLimits& limits, std::string voice, std::string description,
                       std::shared_ptr<TextInbox> inbox)
    : config_(config),
      prompts_(prompts),
      limits_(limits),
      voice_(std::move(voice)),
      description_(std::move(description)),
      inbox_(std::move(inbox)),
      text_(config.text_pacing) {}

Status SpeechText::Impl::append(std::string_view utf8) {
  if (finished_) {
    return Error{ErrorCode::kInvalidArgument, "text: expected none after the end, found more"};
  }
  if (inbox_->ended()) return Error{ErrorCode::kUnavailable, "the speech has ended"};
  const auto most_bytes = static_cast<size_t>(config_.max_text_bytes);
  if (utf8.size() > most_bytes - bytes_) {
    return Error{ErrorCode::kInvalidArgument,
                 "text: expected at most " + std::to_string(most_bytes) + " bytes in all, found " +
                     std::to_string(bytes_ + utf8.size())};
  }
  std::vector<std::string> segments;
  LYRE_RETURN_IF_ERROR(text_.append(utf8, segments));
  bytes_ += utf8.size();
  return put(segments, false);
}

Status SpeechText::Impl::flush(bool last) {
  std::vector<std::string> segments;
  LYRE_RETURN_IF_ERROR(text_.flush(segments));
  return put(segments, last);
}

Status SpeechText::Impl::finish() {
  if (std::exchange(finished_, true)) return ok_status();
  return flush(true);
}

/// A segment that cannot be spoken is left out and told; the others are spoken.
Status SpeechText::Impl::put(const std::vector<std::string>& segments, bool last) {
  // Of an engine that has gone the prompts have gone as well.
  const bool ended = inbox_->ended();
  Status status = ok_status();
  std::vector<TokenId> prompt_ids;
  std::vector<SegmentPlan> plans;
  for (const std::string& segment : segments) {
    if (ended) break;
    Status prepared =
        prepare_segment(segment, voice_, description_, prompts_, limits_, prompt_ids, plans);
    if (!prepared && status) status = std::move(prepared);
  }
  if (!inbox_->put(prompt_ids, plans, last) && !segments.empty()) {
    return Error{ErrorCode::kUnavailable, "the speech has ended"};
  }
  return status;
}

SpeechText::SpeechText(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SpeechText::SpeechText() noexcept = default;
SpeechText::SpeechText(SpeechText&&) noexcept = default;
SpeechText& SpeechText::operator=(SpeechText&& other) noexcept {
  SpeechText gone(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}

SpeechText::~SpeechText() {
  if (!impl_) return;
  if (const Status status = impl_->finish();
      !status && status.error().code != ErrorCode::kUnavailable) {
    log_warning("the end of a text was not spoken", {{"error", status.error().message}});
  }
}

Status SpeechText::append(std::string_view utf8) { return impl_->append(utf8); }
Status SpeechText::flush() { return impl_->flush(); }
Status SpeechText::finish() { return impl_->finish(); }
bool SpeechText::idle() const { return impl_->idle(); }

}  // namespace lyre
