#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lyre/server/text_protocol.h"

namespace lyre::server {

/// WS /v1/audio/speech/websocket, the contract of Together AI's clients: text is appended to a
/// buffer; "commit" makes what is in it an item, whose audio comes back in base 64, items one after
/// another; "clear" ends all of them at once.
class TogetherMessages {
 public:
  /// id: of the session, unique among all; the ids of its items begin with it.
  TogetherMessages(std::string id, std::string voice)
      : id_(std::move(id)), voice_(std::move(voice)) {}

  void opened(Orders& orders);
  void text(std::string_view message, Orders& orders);
  void idle(Orders&) {}
  void started(SpeechNumber, Orders&) {}
  void audio(SpeechNumber speech, std::string_view audio, Orders& orders);
  void ended(SpeechNumber speech, const SpeechSummary& summary, Orders& orders);
  void failed(SpeechNumber speech, const Error& error, Orders& orders);

 private:
  void append(const std::string& text, Orders& orders);
  void clear(Orders& orders);
  void forget(SpeechNumber speech);
  std::string item_id(SpeechNumber speech) const;

  const std::string id_;
  std::string voice_;
  std::vector<SpeechNumber> items_;  // not spoken to the end
  SpeechNumber last_ = 0, last_ended_ = 0;
  bool open_ = false;  // the last item takes text
};

}  // namespace lyre::server
