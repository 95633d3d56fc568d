#include "lyre/server/orpheus_messages.h"

#include <boost/json.hpp>
#include <utility>

#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

SendText message(json::object fields) { return {json::serialize(fields)}; }

}  // namespace

void OrpheusMessages::text(std::string_view text, Orders& orders) {
  if (last_) return;
  JsonFields fields(text);
  OpenSpeech open;
  open.request.text = fields.required_text("input");
  open.request.voice = fields.text("voice").value_or("");
  Segment segment;
  segment.id = fields.text("segment_id").value_or("no_segment_id");
  last_ = !fields.boolean("continue").value_or(true);
  read_speech_settings(fields, open.request);
  if (const ApiError* error = fields.error()) {
    orders.push_back(
        message({{"error", error->message}, {"done", true}, {"segment_id", segment.id}}));
    orders.push_back(CloseSocket{CloseCode::kPolicy, "a message that is not in order"});
    return;
  }
  if (!is_blank(open.request.text)) {
    segment.speech = open.speech = ++last_speech_;
    open.format.encoding = AudioEncoding::kPcm16;
    orders.push_back(std::move(open));
  }
  segments_.push_back(std::move(segment));
  answer_blank(orders);
}

void OrpheusMessages::started(SpeechNumber, Orders& orders) {
  if (segments_.empty()) return;
  orders.push_back(message({{"type", "start"}, {"segment_id", segments_.front().id}}));
}

void OrpheusMessages::audio(SpeechNumber, std::string_view audio, Orders& orders) {
  orders.push_back(SendBinary{std::string(audio)});
}

void OrpheusMessages::ended(SpeechNumber, const SpeechSummary&, Orders& orders) {
  if (segments_.empty()) return;
  orders.push_back(message({{"type", "end"}, {"segment_id", segments_.front().id}}));
  segments_.pop_front();
  answer_blank(orders);
}

void OrpheusMessages::failed(SpeechNumber speech, const Error& error, Orders& orders) {
  std::string id;
  for (const Segment& segment : segments_) {
    if (segment.speech == speech) id = segment.id;
  }
  orders.push_back(message({{"error", error.message}, {"done", true}, {"segment_id", id}}));
  orders.push_back(CloseSocket{close_code(error), "the segment could not be spoken"});
}

/// Answers the segments without text whose turn it is, and closes behind the last one.
void OrpheusMessages::answer_blank(Orders& orders) {
  for (; !segments_.empty() && segments_.front().speech == 0; segments_.pop_front()) {
    orders.push_back(message(
        {{"type", "no_op"}, {"reason", "empty_input"}, {"segment_id", segments_.front().id}}));
  }
  if (last_ && segments_.empty()) {
    orders.push_back(CloseSocket{CloseCode::kNormal, "the last segment is spoken"});
  }
}

}  // namespace lyre::server
