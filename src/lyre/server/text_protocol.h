#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lyre/audio/audio_format.h"
#include "lyre/audio/pcm_channel.h"
#include "lyre/base/result.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// A connection speaks any number of speeches; its protocol numbers them from 1 and never uses a
/// number again.
using SpeechNumber = int64_t;

/// Of RFC 6455, 7.4.1, and of the registry that it founded.
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kUnsupported = 1003,
  kPolicy = 1008,
  kInternal = 1011,
  kTryAgainLater = 1013,
};

// What a protocol wants done, in this order.

/// request.more_text: text follows by AppendText. Else the request's text is all of it.
struct OpenSpeech {
  SpeechNumber speech = 0;
  SpeechRequest request;
  AudioFormat format;
  double speed = 1.0;
};
struct AppendText {
  SpeechNumber speech = 0;
  std::string text;
};
/// Speaks what has come so far.
struct FlushText {
  SpeechNumber speech = 0;
};
/// No more text; the speech ends after what has come.
struct FinishText {
  SpeechNumber speech = 0;
};
/// The speech ends now: the protocol hears no more of it, and what of its audio has not been handed
/// to the socket is not sent.
struct CancelSpeech {
  SpeechNumber speech = 0;
};
struct SendText {
  std::string text;
};
struct SendBinary {
  std::string bytes;
};
/// After all that was sent before. Cancels every speech; no message is looked at any more.
struct CloseSocket {
  CloseCode code = CloseCode::kNormal;
  std::string reason;  // at most 123 bytes, more is cut
};

using Order = std::variant<OpenSpeech, AppendText, FlushText, FinishText, CancelSpeech, SendText,
                           SendBinary, CloseSocket>;
using Orders = std::vector<Order>;

/// A protocol of text in and audio out over a WebSocket: functions that are told what happened and
/// append what is to be done. They know no socket, no clock and no engine, and each is complete:
/// whatever happened, in whatever order, they answer. One thread at a time.
struct TextProtocol {
  /// Speeches are spoken one after another, in the order in which they were opened; else at the
  /// same time.
  bool one_at_a_time = true;
  int most_speeches = 64;  // open at a time; more fail with kResourceExhausted
  /// How long the client may keep silent while the server waits for it; empty: the server's own.
  std::optional<std::chrono::milliseconds> idle_timeout;

  std::function<void(Orders&)> opened;  // the socket
  std::function<void(std::string_view message, Orders&)> text;
  /// The client kept silent for too long. Without an order the socket is closed.
  std::function<void(Orders&)> idle;

  // The speeches. After ended() or failed() the number means nothing any more.
  std::function<void(SpeechNumber, Orders&)> started;
  std::function<void(SpeechNumber, std::string_view audio, Orders&)> audio;  // never empty
  std::function<void(SpeechNumber, const SpeechSummary&, Orders&)> ended;
  std::function<void(SpeechNumber, const Error&, Orders&)> failed;
};

/// The functions of a state machine, which they share.
template <class Machine>
TextProtocol text_protocol(Machine machine) {
  const auto shared = std::make_shared<Machine>(std::move(machine));
  TextProtocol protocol;
  protocol.opened = [shared](Orders& orders) { shared->opened(orders); };
  protocol.text = [shared](std::string_view message, Orders& orders) {
    shared->text(message, orders);
  };
  protocol.idle = [shared](Orders& orders) { shared->idle(orders); };
  protocol.started = [shared](SpeechNumber speech, Orders& orders) {
    shared->started(speech, orders);
  };
  protocol.audio = [shared](SpeechNumber speech, std::string_view audio, Orders& orders) {
    shared->audio(speech, audio, orders);
  };
  protocol.ended = [shared](SpeechNumber speech, const SpeechSummary& summary, Orders& orders) {
    shared->ended(speech, summary, orders);
  };
  protocol.failed = [shared](SpeechNumber speech, const Error& error, Orders& orders) {
    shared->failed(speech, error, orders);
  };
  return protocol;
}

/// What closes a socket whose only speech failed.
CloseCode close_code(const Error& error) noexcept;

/// Nothing in it to speak.
bool is_blank(std::string_view text) noexcept;

}  // namespace lyre::server
