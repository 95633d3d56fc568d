// The messages of the WebSocket protocols, and what may happen to their speeches in between.
// Input: a byte that chooses the protocol, then lines. A line is a message of the client; one that
// begins with '!' is an event: !a audio, !e ended, !f failed, !s started, !i idle, of the speech
// that the digit behind it counts from the last opened. Whatever comes, the orders name speeches
// that were opened once and have not ended, what is sent is JSON where it is text, and nothing
// follows a close.
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>
#include <variant>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/server/baseten_messages.h"
#include "lyre/server/elevenlabs_messages.h"
#include "lyre/server/orpheus_messages.h"
#include "lyre/server/together_messages.h"

namespace {
using namespace lyre::server;

TextProtocol protocol(uint8_t choice) {
  ElevenLabsMessages::Settings settings;
  settings.multi = choice % 5 == 4;
  switch (choice % 5) {
    case 0:
      return text_protocol(OrpheusMessages());
    case 1:
      return text_protocol(BasetenMessages());
    case 2:
      return text_protocol(TogetherMessages("id", ""));
    default:
      return text_protocol(ElevenLabsMessages(settings));
  }
}

/// Plays the session: it knows which speeches are open.
class Judge {
 public:
  explicit Judge(TextProtocol protocol) : protocol_(std::move(protocol)) {
    Orders orders;
    protocol_.opened(orders);
    judge(orders);
  }

  void message(std::string_view text) {
    Orders orders;
    protocol_.text(text, orders);
    judge(orders);
  }

  void event(char kind, SpeechNumber back) {
    Orders orders;
    const SpeechNumber speech = last_ - back;
    if (kind == 'i') {
      protocol_.idle(orders);
    } else if (open_.count(speech) == 0) {
      return;
    } else if (kind == 's') {
      protocol_.started(speech, orders);
    } else if (kind == 'a') {
      protocol_.audio(speech, "audio", orders);
    } else if (kind == 'e') {
      open_.erase(speech);
      protocol_.ended(speech, lyre::SpeechSummary(), orders);
    } else if (kind == 'f') {
      open_.erase(speech);
      protocol_.failed(speech, {lyre::ErrorCode::kInternal, "why"}, orders);
    }
    judge(orders);
  }

  bool closed() const { return closed_; }

 private:
  void judge(const Orders& orders) {
    for (const Order& order : orders) {
      LYRE_CHECK(!closed_);
      if (const auto* open = std::get_if<OpenSpeech>(&order)) {
        LYRE_CHECK(open->speech == last_ + 1);
        LYRE_CHECK(!is_blank(open->request.text));
        LYRE_CHECK(!lyre::find_invalid_utf8(open->request.text));
        last_ = open->speech;
        open_.insert(last_);
        if (open->request.more_text) growing_.insert(last_);
      } else if (const auto* append = std::get_if<AppendText>(&order)) {
        LYRE_CHECK(growing_.count(append->speech) == 1);
        LYRE_CHECK(!lyre::find_invalid_utf8(append->text));
      } else if (const auto* flush = std::get_if<FlushText>(&order)) {
        LYRE_CHECK(growing_.count(flush->speech) == 1);
      } else if (const auto* finish = std::get_if<FinishText>(&order)) {
        LYRE_CHECK(finish->speech >= 1 && finish->speech <= last_);
        growing_.erase(finish->speech);
      } else if (const auto* cancel = std::get_if<CancelSpeech>(&order)) {
        LYRE_CHECK(cancel->speech <= last_);
        open_.erase(cancel->speech);
        growing_.erase(cancel->speech);
      } else if (const auto* text = std::get_if<SendText>(&order)) {
        LYRE_CHECK(boost::json::parse(text->text).is_object());
      } else if (std::holds_alternative<CloseSocket>(order)) {
        closed_ = true;
      }
    }
  }

  TextProtocol protocol_;
  SpeechNumber last_ = 0;
  std::set<SpeechNumber> open_, growing_;
  bool closed_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Judge judge(protocol(data[0]));
  std::string_view lines(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!lines.empty() && !judge.closed()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(line.size() == lines.size() ? line.size() : line.size() + 1);
    if (line.starts_with('!')) {
      const SpeechNumber back = line.size() > 2 ? line[2] % 8 : 0;
      judge.event(line.size() > 1 ? line[1] : 'i', back);
    } else if (!lyre::find_invalid_utf8(line)) {  // the socket's care
      judge.message(line);
    }
  }
  return 0;
}
