#include "lyre/server/text_session.h"

#include <algorithm>
#include <utility>

#include "lyre/audio/audio_encoder.h"
#include "lyre/base/utf8.h"

namespace lyre::server {
using std::chrono::steady_clock;

namespace {

// Samples of a message at most: 0.34 s at 24 kHz. A message is what is there, it waits for nothing.
constexpr size_t kMostMessageSamples = 8192;
constexpr size_t kMostReasonBytes = 123;  // of a close frame, RFC 6455, 5.5

/// The begin of it that a close frame can hold, no character cut.
std::string close_reason(std::string_view text) {
  text = text.substr(0, kMostReasonBytes);
  return std::string(text.substr(0, find_invalid_utf8(text).value_or(text.size())));
}

double milliseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace

/// Waits for its turn, then is spoken.
struct TextSession::Speech {
  OpenSpeech order;
  bool finished = false;  // no more text

  // While it waits for its place: what came, and a flush after each piece but the last.
  std::vector<std::string> pieces{1};
  size_t waiting_bytes = 0;

  std::optional<AdmissionQueue::Place> place;
  steady_clock::time_point place_deadline;  // of the wait for it

  bool started = false;
  /// All its text is spoken and it has given its place to others; with more text it needs one.
  bool resting = false;
  PcmSource pcm;
  MoreText more;
  std::optional<AudioEncoder> encoder;
  int sample_rate_hz = 0;
  int64_t samples = 0;
  AccessRecord record;
  steady_clock::time_point begin = steady_clock::now();

  bool takes_text() const { return started && !resting; }
  bool wants_place() const {
    return !started || (resting && (finished || pieces.size() > 1 || waiting_bytes > 0));
  }
};

TextSession::TextSession(TextProtocol protocol, TextSessionHost host)
    : protocol_(std::move(protocol)), host_(std::move(host)), samples_(kMostMessageSamples) {
  Orders orders;
  protocol_.opened(orders);
  carry_out(std::move(orders), 0);
}

TextSession::~TextSession() { disconnected(); }

TextSession::Speech* TextSession::find(SpeechNumber number) {
  for (const auto& speech : speeches_) {
    if (speech->order.speech == number) return speech.get();
  }
  return nullptr;
}

void TextSession::receive_text(std::string_view message) {
  if (closed_ || stopping_) return;
  Orders orders;
  protocol_.text(message, orders);
  carry_out(std::move(orders), 0);
}

void TextSession::receive_binary() {
  close(CloseCode::kUnsupported, "this protocol takes text messages only");
}

void TextSession::timed_out() {
  if (closed_) return;
  Orders orders;
  protocol_.idle(orders);
  carry_out(std::move(orders), 0);
  close(CloseCode::kNormal, "nothing came in for too long");
}

bool TextSession::busy() const {
  return !outgoing_.empty() ||
         std::any_of(speeches_.begin(), speeches_.end(), [](const auto& speech) {
           return speech->wants_place() || speech->finished || !speech->more.idle ||
                  !speech->more.idle() || speech->pcm.readable() > 0;
         });
}

void TextSession::finish_soon() {
  if (closed_ || stopping_) return;
  stopping_ = true;
  std::vector<SpeechNumber> waiting;
  for (const auto& speech : speeches_) {
    if (!speech->started) waiting.push_back(speech->order.speech);
  }
  for (const SpeechNumber number : waiting) remove(number, "cancelled");
  std::vector<SpeechNumber> spoken;
  for (const auto& speech : speeches_) {
    speech->resting = false;  // the last words need no place any more
    spoken.push_back(speech->order.speech);
  }
  for (const SpeechNumber number : spoken) finish(number);
  host_.wake();
}

void TextSession::disconnected() {
  closed_ = true;
  while (!speeches_.empty()) remove(speeches_.front()->order.speech, "disconnected");
}

/// teller: the speech of which the protocol had been told when it gave the orders.
void TextSession::carry_out(Orders orders, SpeechNumber teller) {
  for (Order& order : orders) {
    if (closed_) return;
    std::visit(
        Overloaded{[&](OpenSpeech& o) { open(std::move(o)); },
                   [&](AppendText& o) { append(o.speech, std::move(o.text)); },
                   [&](FlushText& o) { flush(o.speech); }, [&](FinishText& o) { finish(o.speech); },
                   [&](CancelSpeech& o) { cancel(o.speech); },
                   [&](SendText& o) {
                     send(teller, {OutgoingMessage::Kind::kText, std::move(o.text)});
                   },
                   [&](SendBinary& o) {
                     send(teller, {OutgoingMessage::Kind::kBinary, std::move(o.bytes)});
                   },
                   [&](CloseSocket& o) { close(o.code, o.reason); }},
        order);
  }
}

void TextSession::open(OpenSpeech order) {
  auto speech = std::make_unique<Speech>();
  speech->order = std::move(order);
  speech->finished = !speech->order.request.more_text;
  speech->waiting_bytes = speech->order.request.text.size();
  speech->record = host_.record;
  speech->record.speech = true;
  speech->record.request_bytes = static_cast<int64_t>(speech->waiting_bytes);
  waiting_bytes_ += speech->waiting_bytes;
  const SpeechNumber number = speech->order.speech;
  speeches_.push_back(std::move(speech));
  ++speeches_opened_;
  if (speeches_.size() > static_cast<size_t>(protocol_.most_speeches)) {
    fail(number, {ErrorCode::kResourceExhausted, "a connection may have " +
                                                     std::to_string(protocol_.most_speeches) +
                                                     " speeches open at a time"});
  } else if (waiting_bytes_ > host_.most_waiting_bytes) {
    fail(number,
         {ErrorCode::kResourceExhausted, "more than " + std::to_string(host_.most_waiting_bytes) +
                                             " bytes of text wait for their turn"});
  }
}

void TextSession::append(SpeechNumber number, std::string text) {
  Speech* speech = find(number);
  if (speech == nullptr || speech->finished || text.empty()) return;
  speech->record.request_bytes += static_cast<int64_t>(text.size());
  if (speech->takes_text()) {
    const Status taken = speech->more.append(text);
    if (!taken) fail(number, taken.error());
    return;
  }
  if (waiting_bytes_ + text.size() > host_.most_waiting_bytes) {
    fail(number,
         {ErrorCode::kResourceExhausted, "more than " + std::to_string(host_.most_waiting_bytes) +
                                             " bytes of text wait for their turn"});
    return;
  }
  speech->waiting_bytes += text.size();
  waiting_bytes_ += text.size();
  speech->pieces.back() += text;
}

void TextSession::flush(SpeechNumber number) {
  Speech* speech = find(number);
  if (speech == nullptr || speech->finished) return;
  if (speech->takes_text()) {
    const Status flushed = speech->more.flush();
    if (!flushed) fail(number, flushed.error());
  } else if (speech->pieces.size() > 1 ? !speech->pieces.back().empty()
                                       : speech->waiting_bytes > 0 || speech->resting) {
    // Flushes without text between them are one, so the pieces are bounded by the text.
    speech->pieces.emplace_back();
  }
}

void TextSession::finish(SpeechNumber number) {
  Speech* speech = find(number);
  if (speech == nullptr || speech->finished) return;
  speech->finished = true;
  if (!speech->takes_text()) return;
  const Status finished = stopping_ ? hand_over_text(*speech) : speech->more.finish();
  if (!finished) fail(number, finished.error());
}

void TextSession::cancel(SpeechNumber number) {
  std::erase_if(outgoing_, [&](const Tagged& tagged) {
    if (tagged.speech != number) return false;
    outgoing_bytes_ -= tagged.message.bytes.size();
    return true;
  });
  if (find(number) != nullptr) remove(number, "cancelled");
}

void TextSession::send(SpeechNumber teller, OutgoingMessage message) {
  outgoing_bytes_ += message.bytes.size();
  outgoing_.push_back({teller, std::move(message)});
  // Audio is made one message at a time; it is the replies that a client could pile up.
  if (teller == 0 && outgoing_bytes_ > host_.most_waiting_bytes) {
    close(CloseCode::kPolicy, "the replies are not read");
  }
}

void TextSession::close(CloseCode code, std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  while (!speeches_.empty()) remove(speeches_.front()->order.speech, "cancelled");
  outgoing_.push_back({0, {OutgoingMessage::Kind::kClose, close_reason(reason), code}});
  host_.wake();
}

std::optional<OutgoingMessage> TextSession::next() {
  while (outgoing_.empty() && !closed_) {
    const bool started = !stopping_ && start_waiting();
    const bool pulled = !closed_ && outgoing_.empty() && pull_audio();
    if (stopping_ && speeches_.empty() && outgoing_.empty()) {
      close(CloseCode::kGoingAway, "the server stops");
    } else if (!started && !pulled) {
      break;
    }
  }
  if (outgoing_.empty()) return std::nullopt;
  OutgoingMessage message = std::move(outgoing_.front().message);
  outgoing_.pop_front();
  if (message.kind != OutgoingMessage::Kind::kClose) outgoing_bytes_ -= message.bytes.size();
  return message;
}

/// Whether it is this speech's turn, here and in the queue of all connections.
Result<bool> TextSession::may_start(Speech& speech) {
  if (!speech.wants_place()) return false;
  if (!speech.started && protocol_.one_at_a_time && speeches_.front().get() != &speech) {
    return false;
  }
  if (!host_.enter_queue) return true;
  if (!speech.place) {
    Result<AdmissionQueue::Place> place = host_.enter_queue(host_.wake);
    // What has begun to speak is not sent away in the middle of it.
    if (!place && speech.resting) return true;
    if (!place) return place.error();
    speech.place.emplace(*std::move(place));
    speech.place_deadline = steady_clock::now() + host_.queue_wait;
  }
  if (speech.place->granted()) return true;
  if (steady_clock::now() < speech.place_deadline) return false;
  speech.place.reset();
  if (speech.resting) return true;
  return Error{ErrorCode::kResourceExhausted,
               "no place became free within " + std::to_string(host_.queue_wait.count()) + " ms"};
}

std::optional<steady_clock::time_point> TextSession::deadline() const {
  std::optional<steady_clock::time_point> first;
  for (const auto& speech : speeches_) {
    if (!speech->place || speech->place->granted()) continue;
    if (!first || speech->place_deadline < *first) first = speech->place_deadline;
  }
  return first;
}

/// True if anything was begun.
bool TextSession::start_waiting() {
  for (const auto& speech : speeches_) {
    const SpeechNumber number = speech->order.speech;
    const Result<bool> may = may_start(*speech);
    if (may.ok() && !*may) continue;
    if (speech->resting) {
      speech->resting = false;
      const Status taken = hand_over_text(*speech);
      if (!taken) fail(number, taken.error());
      return true;
    }
    const Status started = may.ok() ? start(*speech) : Status(may.error());
    if (!started) {
      fail(number, started.error());
    } else {
      Orders orders;
      protocol_.started(number, orders);
      carry_out(std::move(orders), number);
    }
    return true;  // the speeches may be others now
  }
  return false;
}

Status TextSession::start(Speech& speech) {
  const auto service = host_.service();
  if (!service) return Error{ErrorCode::kUnavailable, "the server is not ready, or it is stopping"};
  LYRE_ASSIGN_OR_RETURN(
      AudioEncoder encoder,
      AudioEncoder::open(speech.order.format, service->info.sample_rate_hz, speech.order.speed));
  SpeechRequest request = speech.order.request;
  LYRE_ASSIGN_OR_RETURN(request.voice,
                        resolve_voice(request.voice, *host_.voice_aliases(), service->info));
  LYRE_ASSIGN_OR_RETURN(SpokenAudio spoken, service->speak(std::move(request)));
  speech.encoder.emplace(std::move(encoder));
  speech.sample_rate_hz = service->info.sample_rate_hz;
  speech.record.queue_ms = milliseconds_since(speech.begin);
  speech.record.voice = spoken.voice;
  speech.record.seed = spoken.seed;
  speech.pcm = std::move(spoken.pcm);
  speech.more = std::move(spoken.more);
  speech.started = true;
  speech.pcm.notify(host_.wake);
  if (speech.order.request.more_text) return hand_over_text(speech);
  waiting_bytes_ -= std::exchange(speech.waiting_bytes, 0);
  return ok_status();
}

/// What came while the speech waited.
Status TextSession::hand_over_text(Speech& speech) {
  const std::vector<std::string> pieces = std::exchange(speech.pieces, {""});
  waiting_bytes_ -= std::exchange(speech.waiting_bytes, 0);
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!pieces[i].empty()) LYRE_RETURN_IF_ERROR(speech.more.append(pieces[i]));
    if (i + 1 < pieces.size()) LYRE_RETURN_IF_ERROR(speech.more.flush());
  }
  return speech.finished ? speech.more.finish() : ok_status();
}

/// The next message of audio, of the speeches in turn; true if the protocol was told of anything.
bool TextSession::pull_audio() {
  for (size_t i = 0; i < speeches_.size(); ++i) {
    turn_ = (turn_ + 1) % speeches_.size();
    if (speeches_[turn_]->started && pull(*speeches_[turn_])) return true;
  }
  return false;
}

bool TextSession::pull(Speech& speech) {
  const SpeechNumber number = speech.order.speech;
  const size_t count = speech.pcm.try_read(samples_);
  // A client who takes his time with what is made already keeps nobody waiting.
  if (speech.pcm.complete()) speech.place.reset();
  encoded_.clear();
  if (count > 0) {
    if (speech.samples == 0) speech.record.first_audio_ms = milliseconds_since(speech.begin);
    speech.samples += static_cast<int64_t>(count);
    const Status encoded = speech.encoder->encode({samples_.data(), count}, encoded_);
    if (!encoded) {
      fail(number, encoded.error());
    } else {
      tell_audio(speech);
    }
    return true;
  }
  if (speech.pcm.state() == PcmSource::State::kOpen) {
    rest(speech);
    return false;
  }
  if (speech.pcm.state() == PcmSource::State::kFailed) {
    fail(number, speech.pcm.error());
    return true;
  }
  if (speech.samples == 0 && !speech.order.request.more_text) {
    fail(number, {ErrorCode::kInternal, "the model ended without any speech; try another seed"});
    return true;
  }
  const SpeechSummary summary = speech.pcm.summary();
  speech.record.prompt_tokens = summary.prompt_tokens;
  speech.record.generated_tokens = summary.generated_tokens;
  speech.record.frames = summary.frames;
  const Status encoded = speech.encoder->finish(encoded_);
  if (!encoded) {
    fail(number, encoded.error());
    return true;
  }
  tell_audio(speech);
  if (find(number) == nullptr) return true;  // the protocol ended it
  remove(number, summary.reason == FinishReason::kLength ? "length" : "stop");
  Orders orders;
  protocol_.ended(number, summary, orders);
  carry_out(std::move(orders), number);
  return true;
}

/// Gives the place to others while nothing is there to be spoken: whoever keeps a socket open and
/// silent must not keep the machine idle.
void TextSession::rest(Speech& speech) {
  if (!speech.place || speech.finished || !speech.more.idle || !speech.more.idle()) return;
  speech.place.reset();
  speech.resting = true;
}

/// Tells the protocol of what is in encoded_, if anything is.
void TextSession::tell_audio(Speech& speech) {
  if (encoded_.empty()) return;
  speech.record.audio_s = static_cast<double>(speech.samples) / speech.sample_rate_hz;
  speech.record.body_bytes += static_cast<int64_t>(encoded_.size());
  const SpeechNumber number = speech.order.speech;
  Orders orders;
  protocol_.audio(number, encoded_, orders);
  carry_out(std::move(orders), number);
}

void TextSession::fail(SpeechNumber number, Error error) {
  remove(number, "failed", error.message);
  Orders orders;
  protocol_.failed(number, error, orders);
  carry_out(std::move(orders), number);
}

/// Ends a speech; that is its cancellation if it was not over.
void TextSession::remove(SpeechNumber number, std::string_view finish, std::string error) {
  const auto at = std::find_if(speeches_.begin(), speeches_.end(),
                               [&](const auto& speech) { return speech->order.speech == number; });
  if (at == speeches_.end()) return;
  const std::unique_ptr<Speech> speech = std::move(*at);
  speeches_.erase(at);
  waiting_bytes_ -= speech->waiting_bytes;
  if (speech->started) speech->pcm.notify({});
  speech->record.finish = finish;
  speech->record.error = std::move(error);
  speech->record.duration_ms = milliseconds_since(speech->begin);
  if (host_.spoken) host_.spoken(speech->record);
}

}  // namespace lyre::server
