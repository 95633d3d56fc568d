#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lyre/server/text_protocol.h"

namespace lyre::server {

class JsonFields;

/// WS /v1/text-to-speech/{voice_id}/stream-input and .../multi-stream-input, the contract of
/// ElevenLabs' clients: text comes in pieces, audio goes out in base 64. The first speaks one
/// context, the second any number by their names, at the same time. There is no alignment: the
/// model does not tell where a character is.
class ElevenLabsMessages {
 public:
  struct Settings {
    bool multi = false;
    std::string voice;
    AudioFormat format;
    std::optional<uint64_t> seed;
    int inactivity_timeout_s = 20;
  };
  explicit ElevenLabsMessages(Settings settings) : settings_(std::move(settings)) {}

  void opened(Orders&) {}
  void text(std::string_view message, Orders& orders);
  void idle(Orders& orders);
  void started(SpeechNumber, Orders&) {}
  void audio(SpeechNumber speech, std::string_view audio, Orders& orders);
  void ended(SpeechNumber speech, const SpeechSummary& summary, Orders& orders);
  void failed(SpeechNumber speech, const Error& error, Orders& orders);

 private:
  struct Context {
    std::string name;
    double speed = 1.0;
    SpeechNumber speech = 0;  // 0: there was nothing to speak yet
    bool flushed = true;      // all text that came is to be spoken
    bool closing = false;     // takes no more text, is spoken to its end
  };

  Context* find(std::string_view name, bool closing);
  Context* find(SpeechNumber speech);
  void erase(const Context& context);
  Context* open_context(const std::string& name, JsonFields& fields, Orders& orders);
  void add_text(Context& context, const std::string& text, Orders& orders);
  void flush(Context& context, Orders& orders);
  void finish(Context& context, Orders& orders);
  void close_context(const std::string& name, Orders& orders);
  void close_socket(Orders& orders);
  void send_final(const std::string& name, Orders& orders);
  void close_if_over(Orders& orders);
  void refuse(const std::string& message, const std::string& code, Orders& orders);

  const Settings settings_;
  std::vector<Context> contexts_;
  SpeechNumber last_speech_ = 0;
  bool last_ = false;  // no message follows; closes when all is spoken
};

}  // namespace lyre::server
