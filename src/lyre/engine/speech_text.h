#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lyre/engine/engine.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/engine/prepare_request.h"
#include "lyre/engine/text_inbox.h"
#include "lyre/text/growing_text.h"

namespace lyre {

/// Cuts and tokenises on the writer's thread what the inbox then carries to the engine's.
class SpeechText::Impl {
 public:
  /// config and prompts must outlive this.
  Impl(const EngineConfig& config, const SpeechPrompts& prompts, const SpeechLimits& limits,
       std::string voice, std::string description, std::shared_ptr<TextInbox> inbox);

  Status append(std::string_view utf8);
  Status flush() { return flush(false); }
  Status finish();
  bool idle() const { return inbox_->idle(); }

 private:
  Status flush(bool last);
  Status put(const std::vector<std::string>& segments, bool last);

  const EngineConfig& config_;
  const SpeechPrompts& prompts_;
  const SpeechLimits limits_;
  const std::string voice_, description_;
  const std::shared_ptr<TextInbox> inbox_;
  GrowingText text_;
  size_t bytes_ = 0;  // since the begin
  bool finished_ = false;
};

}  // namespace lyre
