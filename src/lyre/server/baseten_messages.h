#pragma once

#include <optional>
#include <string_view>

#include "lyre/server/text_protocol.h"

namespace lyre::server {

/// WS /v1/baseten/websocket, as clients of Baseten's Orpheus speak it to the URL that they are
/// given: a JSON message with the settings, then text as it is written, each message a piece that
/// may end within a word, then "__END__", after which nothing is looked at. Binary PCM comes back,
/// and the close is its end.
class BasetenMessages {
 public:
  void opened(Orders&) {}
  void text(std::string_view message, Orders& orders);
  void idle(Orders&) {}
  void started(SpeechNumber, Orders&) {}
  void audio(SpeechNumber speech, std::string_view audio, Orders& orders);
  void ended(SpeechNumber speech, const SpeechSummary& summary, Orders& orders);
  void failed(SpeechNumber speech, const Error& error, Orders& orders);

 private:
  void read_settings(std::string_view message, Orders& orders);

  std::optional<SpeechRequest> settings_;  // from the first message
  bool open_ = false;                      // the speech: from the first text on
  bool finished_ = false;                  // "__END__" has come
};

}  // namespace lyre::server
