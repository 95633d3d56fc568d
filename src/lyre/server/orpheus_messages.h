#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "lyre/server/text_protocol.h"

namespace lyre::server {

/// WS /v1/audio/speech/stream/ws, the contract of orpheus-streaming clients: a JSON message for
/// each segment of text, which comes back as "start", binary PCM and "end", one segment after
/// another. docs/websocket.md has the fields, and what the original does that this does not.
class OrpheusMessages {
 public:
  void opened(Orders&) {}
  void text(std::string_view message, Orders& orders);
  void idle(Orders&) {}
  void started(SpeechNumber speech, Orders& orders);
  void audio(SpeechNumber speech, std::string_view audio, Orders& orders);
  void ended(SpeechNumber speech, const SpeechSummary& summary, Orders& orders);
  void failed(SpeechNumber speech, const Error& error, Orders& orders);

 private:
  struct Segment {
    SpeechNumber speech = 0;  // 0: nothing to speak, answered when its turn comes
    std::string id;
  };

  void answer_blank(Orders& orders);

  std::deque<Segment> segments_;  // not answered to the end, in the order in which they came
  SpeechNumber last_speech_ = 0;
  bool last_ = false;  // no segment follows
};

}  // namespace lyre::server
