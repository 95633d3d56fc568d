#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lyre/server/text_protocol.h"

namespace lyre::server::test {

/// An order in a line of words.
inline std::string describe(const Order& order) {
  struct Describe {
    std::string operator()(const OpenSpeech& o) const {
      std::string line = "open " + std::to_string(o.speech) + " '" + o.request.text + "'";
      if (!o.request.voice.empty()) line += " by " + o.request.voice;
      if (o.request.more_text) line += " ...";
      return line;
    }
    std::string operator()(const AppendText& o) const {
      return "append " + std::to_string(o.speech) + " '" + o.text + "'";
    }
    std::string operator()(const FlushText& o) const { return "flush " + std::to_string(o.speech); }
    std::string operator()(const FinishText& o) const {
      return "finish " + std::to_string(o.speech);
    }
    std::string operator()(const CancelSpeech& o) const {
      return "cancel " + std::to_string(o.speech);
    }
    std::string operator()(const SendText& o) const { return o.text; }
    std::string operator()(const SendBinary& o) const { return "binary " + o.bytes; }
    std::string operator()(const CloseSocket& o) const {
      return "close " + std::to_string(static_cast<int>(o.code));
    }
  };
  return std::visit(Describe(), order);
}

/// A protocol without a socket: what it is told, and what it orders then.
class Conversation {
 public:
  using Lines = std::vector<std::string>;

  explicit Conversation(TextProtocol protocol) : protocol_(std::move(protocol)) {}

  Lines opened() {
    return told([&](Orders& orders) { protocol_.opened(orders); });
  }
  Lines text(std::string_view message) {
    return told([&](Orders& orders) { protocol_.text(message, orders); });
  }
  Lines idle() {
    return told([&](Orders& orders) { protocol_.idle(orders); });
  }
  Lines started(SpeechNumber speech) {
    return told([&](Orders& orders) { protocol_.started(speech, orders); });
  }
  Lines audio(SpeechNumber speech, std::string_view bytes) {
    return told([&](Orders& orders) { protocol_.audio(speech, bytes, orders); });
  }
  Lines ended(SpeechNumber speech) {
    return told([&](Orders& orders) { protocol_.ended(speech, SpeechSummary(), orders); });
  }
  Lines failed(SpeechNumber speech, ErrorCode code = ErrorCode::kInternal) {
    return told([&](Orders& orders) { protocol_.failed(speech, {code, "why"}, orders); });
  }

 private:
  template <class Tell>
  Lines told(Tell tell) {
    Orders orders;
    tell(orders);
    Lines lines;
    for (const Order& order : orders) lines.push_back(describe(order));
    return lines;
  }

  TextProtocol protocol_;
};

}  // namespace lyre::server::test
