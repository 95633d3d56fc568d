#include "lyre/server/together_messages.h"

#include <boost/json.hpp>

#include "lyre/base/quote.h"
#include "lyre/server/base64.h"
#include "lyre/server/json_fields.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

SendText message(json::object fields) { return {json::serialize(fields)}; }

SendText error_message(const std::string& text, const std::string& code) {
  return message({{"type", "error"}, {"error", json::object{{"message", text}, {"code", code}}}});
}

}  // namespace

void TogetherMessages::opened(Orders& orders) {
  orders.push_back(message({{"type", "session.created"}, {"session", json::object{{"id", id_}}}}));
}

void TogetherMessages::text(std::string_view text, Orders& orders) {
  JsonFields fields(text);
  const std::string type = fields.required_text("type");
  if (type == "input_text_buffer.append") {
    const std::string piece = fields.required_text("text");
    if (fields.error() == nullptr) append(piece, orders);
  } else if (type == "input_text_buffer.commit") {
    if (open_) orders.push_back(FinishText{last_});
    open_ = false;
  } else if (type == "input_text_buffer.clear") {
    clear(orders);
  } else if (type == "tts_session.updated") {
    const auto voice = fields.text("session.voice");
    if (fields.error() == nullptr) {
      if (voice) voice_ = *voice;  // of the items that are not begun
      orders.push_back(message({{"type", "session.updated"},
                                {"session", json::object{{"id", id_}, {"voice", voice_}}}}));
    }
  } else {
    fields.fail({400, "Unknown 'type' " + quote(type) + ".", "type", "unknown_type"});
  }
  if (const ApiError* error = fields.error()) {
    orders.push_back(error_message(error->message, error->code));
  }
}

void TogetherMessages::append(const std::string& text, Orders& orders) {
  if (open_) {
    orders.push_back(AppendText{last_, text});
  } else if (!is_blank(text)) {
    OpenSpeech open;
    open.speech = ++last_;
    open.request.text = text;
    open.request.more_text = true;
    open.request.voice = voice_;
    open.format.encoding = AudioEncoding::kPcm16;
    orders.push_back(std::move(open));
    items_.push_back(last_);
    open_ = true;
  }
  orders.push_back(message({{"type", "conversation.item.input_text.received"}, {"text", text}}));
}

void TogetherMessages::clear(Orders& orders) {
  // The one that has just ended too: a "done" of it that has not been sent would be taken for that
  // of the text that comes next.
  orders.push_back(CancelSpeech{last_ended_});
  for (const SpeechNumber item : items_) orders.push_back(CancelSpeech{item});
  items_.clear();
  open_ = false;
}

void TogetherMessages::audio(SpeechNumber speech, std::string_view audio, Orders& orders) {
  std::string delta;
  append_base64(audio, delta);
  orders.push_back(message({{"type", "conversation.item.audio_output.delta"},
                            {"item_id", item_id(speech)},
                            {"delta", delta}}));
}

void TogetherMessages::ended(SpeechNumber speech, const SpeechSummary&, Orders& orders) {
  forget(speech);
  orders.push_back(
      message({{"type", "conversation.item.audio_output.done"}, {"item_id", item_id(speech)}}));
}

void TogetherMessages::failed(SpeechNumber speech, const Error& error, Orders& orders) {
  forget(speech);
  orders.push_back(message({{"type", "conversation.item.tts.failed"},
                            {"item_id", item_id(speech)},
                            {"error", json::object{{"message", error.message},
                                                   {"code", error_code_name(error.code)}}}}));
}

void TogetherMessages::forget(SpeechNumber speech) {
  std::erase(items_, speech);
  last_ended_ = speech;
  if (speech == last_) open_ = false;
}

std::string TogetherMessages::item_id(SpeechNumber speech) const {
  return id_ + "_" + std::to_string(speech);
}

}  // namespace lyre::server
