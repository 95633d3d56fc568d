#include "lyre/server/baseten_messages.h"

#include <string>

#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

constexpr std::string_view kEnd = "__END__";
constexpr SpeechNumber kSpeech = 1;  // a connection speaks one

}  // namespace

void BasetenMessages::text(std::string_view message, Orders& orders) {
  if (!settings_) {
    read_settings(message, orders);
  } else if (finished_) {
    // The end was the client's word. A close would cut what is still spoken.
  } else if (message == kEnd) {
    finished_ = true;
    if (open_) {
      orders.push_back(FinishText{kSpeech});
    } else {
      orders.push_back(CloseSocket{CloseCode::kNormal, "there was nothing to speak"});
    }
  } else if (open_) {
    orders.push_back(AppendText{kSpeech, std::string(message)});
  } else if (!is_blank(message)) {
    // Not before: a connection that is made ahead of its text takes no place in the engine.
    open_ = true;
    SpeechRequest request = *settings_;
    request.text = message;
    request.more_text = true;
    orders.push_back(OpenSpeech{kSpeech, request, {.encoding = AudioEncoding::kPcm16}, 1.0});
  }
}

void BasetenMessages::read_settings(std::string_view message, Orders& orders) {
  JsonFields fields(message);
  SpeechRequest request;
  request.voice = fields.text("voice").value_or("");
  read_speech_settings(fields, request);
  // There it limits each of the pieces that are spoken one by one, here it would end the speech.
  request.max_tokens.reset();
  if (const ApiError* error = fields.error()) {
    orders.push_back(CloseSocket{CloseCode::kPolicy, "the settings: " + error->message});
    return;
  }
  settings_ = request;
}

void BasetenMessages::audio(SpeechNumber, std::string_view audio, Orders& orders) {
  orders.push_back(SendBinary{std::string(audio)});
}

void BasetenMessages::ended(SpeechNumber, const SpeechSummary&, Orders& orders) {
  orders.push_back(CloseSocket{CloseCode::kNormal, "all is spoken"});
}

void BasetenMessages::failed(SpeechNumber, const Error& error, Orders& orders) {
  orders.push_back(CloseSocket{close_code(error), error.message});
}

}  // namespace lyre::server
