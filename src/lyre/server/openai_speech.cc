// POST /v1/audio/speech, as OpenAI's API and its SDKs speak it, and the streaming of Together AI on
// the same path; docs/http.md has the table of fields.
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/server/routes.h"
#include "lyre/server/speech_events.h"
#include "lyre/server/speech_response.h"

namespace lyre::server {
namespace {

struct NamedEncoding {
  std::string_view name;
  AudioEncoding encoding;
};
constexpr NamedEncoding kFormats[] = {
    {"mp3", AudioEncoding::kMp3},   {"opus", AudioEncoding::kOpus}, {"aac", AudioEncoding::kAac},
    {"flac", AudioEncoding::kFlac}, {"wav", AudioEncoding::kWav},   {"pcm", AudioEncoding::kPcm16},
};
// Of Together AI, for the format "raw".
constexpr NamedEncoding kRawEncodings[] = {
    {"pcm_s16le", AudioEncoding::kPcm16},
    {"pcm_mulaw", AudioEncoding::kMulaw},
    {"pcm_alaw", AudioEncoding::kAlaw},
};

template <size_t kCount>
AudioEncoding find_encoding(JsonFields& fields, const char* field, const std::string& name,
                            const NamedEncoding (&encodings)[kCount]) {
  std::string names;
  for (const NamedEncoding& known : encodings) {
    if (known.name == name) return known.encoding;
    names.append(names.empty() ? "'" : ", '").append(known.name).append("'");
  }
  fields.fail(
      {400, "Unknown '" + std::string(field) + "' " + quote(name) + "; use one of " + names + ".",
       field, "unsupported_format"});
  return AudioEncoding::kPcm16;
}

/// Format and form of the body.
void read_form(JsonFields& fields, SpeechOrder& order) {
  const std::string format = fields.text("response_format").value_or("mp3");
  const bool raw = format == "raw";
  if (raw) {
    const std::string encoding = fields.text("response_encoding").value_or("pcm_s16le");
    order.format.encoding = find_encoding(fields, "response_encoding", encoding, kRawEncodings);
  } else {
    order.format.encoding = find_encoding(fields, "response_format", format, kFormats);
  }
  const std::optional<int> rate_hz = fields.integer("sample_rate");
  if (rate_hz) {
    order.format.sample_rate_hz = *rate_hz;
    order.format_field = "sample_rate";
    if (*rate_hz <= 0) {
      fields.fail({400, "'sample_rate' must be above 0.", "sample_rate", "invalid_value"});
    }
  }
  const std::string stream_format = fields.text("stream_format").value_or("audio");
  if (stream_format != "audio" && stream_format != "sse") {
    fields.fail({400, "Unknown 'stream_format' " + quote(stream_format) + "; use 'audio' or 'sse'.",
                 "stream_format", "invalid_value"});
  }
  // Other clients send "stream" too, and mean the chunks that everybody gets.
  const bool stream = raw && fields.boolean("stream").value_or(false);
  if (stream_format != "sse" && !stream) return;
  order.body = stream_format == "sse" ? openai_events : together_events;
  order.content_type = "text/event-stream";
}

HttpResponse speak(const HttpRequest& http, const ServerState& state) {
  JsonFields fields(http.body);
  SpeechOrder order;
  order.request.text = fields.required_text("input");
  order.request.voice = fields.text_or_id("voice").value_or("");
  order.request.description = fields.text("instructions").value_or("");
  read_form(fields, order);
  order.speed = checked_speed(fields, fields.number("speed"), "speed", 0.25, 4.0);
  read_speech_settings(fields, order.request);
  return speech_response(http, fields, state, std::move(order));
}

}  // namespace

void add_openai_speech(RouteTable& routes) {
  for (const char* path : {"/v1/audio/speech", "/audio/speech"}) {
    routes.add("POST", path, speak, Admission::kSpeech);
  }
}

}  // namespace lyre::server
