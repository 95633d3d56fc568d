#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/server/access_record.h"
#include "lyre/server/admission_queue.h"
#include "lyre/server/speech_service.h"
#include "lyre/server/text_protocol.h"
#include "lyre/server/voice_aliases.h"

namespace lyre::server {

/// What a socket sends next.
struct OutgoingMessage {
  enum class Kind : uint8_t { kText, kBinary, kClose };
  Kind kind = Kind::kText;
  std::string bytes;  // of a close: the reason
  CloseCode code = CloseCode::kNormal;
};

/// What a session needs of its server.
struct TextSessionHost {
  std::function<std::shared_ptr<const SpeechService>()> service;  // null: not ready, or stopping
  /// A place in the queue, before anything is spoken; empty: there is no queue.
  std::function<Result<AdmissionQueue::Place>(std::function<void()> wake)> enter_queue;
  std::chrono::milliseconds queue_wait{30'000};  // of one speech, which then fails
  std::function<std::shared_ptr<const VoiceAliases>()> voice_aliases;
  /// next() may have something. Any thread; short, must not throw.
  std::function<void()> wake;
  /// Called once a speech, when it is over.
  std::function<void(const AccessRecord&)> spoken;
  AccessRecord record;          // what is the same in each: id, client, path
  size_t most_waiting_bytes{};  // of text that no speech has taken yet, and of replies not yet sent
};

/// One connection of a TextProtocol: carries out its orders and tells it what becomes of them. Owns
/// the speeches; destroying it cancels them. Audio is taken from the engine only when next() asks
/// for a message, so a client that reads slowly slows nobody else down. One thread.
class TextSession {
 public:
  TextSession(TextProtocol protocol, TextSessionHost host);
  ~TextSession();
  TextSession(const TextSession&) = delete;
  TextSession& operator=(const TextSession&) = delete;

  void receive_text(std::string_view message);
  void receive_binary();  // no protocol takes it: the socket is closed
  /// Every message but the last has been sent; nothing: wait for the wake, or for a message of the
  /// client. Nothing follows a close.
  std::optional<OutgoingMessage> next();

  /// When next() is to be called though nothing wakes: a speech has waited for its place for as
  /// long as it may. Nothing: none waits.
  std::optional<std::chrono::steady_clock::time_point> deadline() const;
  /// The client said nothing for as long as it may.
  void timed_out();
  /// Something is being spoken, or waits for that: the client need not say anything.
  bool busy() const;
  /// The server stops: what is spoken ends after the text that is there, then the socket closes.
  void finish_soon();
  /// The client left: what is spoken counts as disconnected.
  void disconnected();

  bool closed() const { return closed_; }  // the close is among the messages, or was
  int64_t speeches_opened() const { return speeches_opened_; }
  const std::optional<std::chrono::milliseconds>& idle_timeout() const {
    return protocol_.idle_timeout;
  }

 private:
  struct Speech;
  struct Tagged {
    SpeechNumber speech = 0;  // whose it is: dropped when that is cancelled. 0: nobody's
    OutgoingMessage message;
  };

  Speech* find(SpeechNumber number);
  void carry_out(Orders orders, SpeechNumber teller);
  void open(OpenSpeech order);
  void append(SpeechNumber number, std::string text);
  void flush(SpeechNumber number);
  void finish(SpeechNumber number);
  void cancel(SpeechNumber number);
  void send(SpeechNumber teller, OutgoingMessage message);
  void close(CloseCode code, std::string_view reason);

  Result<bool> may_start(Speech& speech);
  bool start_waiting();
  Status start(Speech& speech);
  Status hand_over_text(Speech& speech);
  bool pull_audio();
  bool pull(Speech& speech);
  void rest(Speech& speech);
  void tell_audio(Speech& speech);
  void fail(SpeechNumber number, Error error);
  void remove(SpeechNumber number, std::string_view finish, std::string error = {});

  TextProtocol protocol_;
  TextSessionHost host_;
  std::vector<std::unique_ptr<Speech>> speeches_;  // in the order of opening
  size_t turn_ = 0;                                // whose audio comes next
  std::deque<Tagged> outgoing_;
  size_t outgoing_bytes_ = 0, waiting_bytes_ = 0;
  int64_t speeches_opened_ = 0;
  bool stopping_ = false, closed_ = false;
  std::vector<float> samples_;
  std::string encoded_;
};

}  // namespace lyre::server
