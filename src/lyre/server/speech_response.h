#pragma once

#include <string>

#include "lyre/audio/audio_format.h"
#include "lyre/server/http_message.h"
#include "lyre/server/json_fields.h"
#include "lyre/server/server_state.h"
#include "lyre/server/speech_body.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// Reads the settings that every JSON protocol of ours takes beside its own fields: seed,
/// temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, legal_slots, fast_start.
void read_speech_settings(JsonFields& fields, SpeechRequest& request);

/// A speed within these bounds, or 1 and an error that names the field.
double checked_speed(JsonFields& fields, std::optional<double> speed, const char* field,
                     double least, double most);

/// A request for speech as a protocol has read it, and how the protocol answers.
struct SpeechOrder {
  SpeechRequest request;
  AudioFormat format;
  double speed = 1.0;
  // What the protocol calls them, for errors.
  const char* text_field = "input";
  const char* format_field = "response_format";
  SpeechBody (*body)(AudioEncoder encoder) = plain_body;
  const char* content_type = "";  // empty: that of the format
  HttpResponse (*error)(const ApiError& error) = error_response;
};

/// The first error of the fields; or submits the request and answers with audio, or with the error.
/// What can be told by the name of a field is checked here, everything else by the service.
HttpResponse speech_response(const HttpRequest& http, const JsonFields& fields,
                             const ServerState& state, SpeechOrder order);

}  // namespace lyre::server
