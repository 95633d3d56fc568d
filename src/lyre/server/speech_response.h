#pragma once

#include "lyre/audio/audio_format.h"
#include "lyre/server/http_message.h"
#include "lyre/server/json_fields.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// Reads the settings that every JSON protocol of ours takes beside its own fields: seed,
/// temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, legal_slots, fast_start.
void read_speech_settings(JsonFields& fields, SpeechRequest& request);

/// Submits the request: a response with audio in this format, or the error. What can be told by
/// name of the field (text, voice) is checked here, everything else by the service.
HttpResponse speech_response(const SpeechService& service, SpeechRequest request,
                             const AudioFormat& format, double speed = 1.0);

}  // namespace lyre::server
