#pragma once

#include "lyre/server/route_table.h"

namespace lyre::server {

// One function a protocol, each in a file of its own; a new protocol is a new file and a line in
// add_all_routes.
void add_openai_speech(RouteTable& routes);      // POST /v1/audio/speech
void add_pcm_stream(RouteTable& routes);         // POST /v1/audio/speech/stream
void add_baseten_speech(RouteTable& routes);     // POST /v1/baseten/predict
void add_elevenlabs_speech(RouteTable& routes);  // POST /v1/text-to-speech/{voice_id}
void add_model_list(RouteTable& routes);         // GET /v1/models
void add_voice_lists(RouteTable& routes);        // GET /api/voices, GET /v1/audio/voices
void add_health(RouteTable& routes);             // GET /healthz, GET /readyz
void add_warmup(RouteTable& routes);             // GET and POST /v1/warmup
void add_metrics(RouteTable& routes);            // GET /metrics
void add_profile(RouteTable& routes);            // GET /v1/profile, GET /v1/profile/trace
void add_web_sockets(RouteTable& routes);        // GET of the WebSocket protocols
void add_api_description(RouteTable& routes);    // GET /openapi.json
void add_index(RouteTable& routes);              // GET /

void add_all_routes(RouteTable& routes);

}  // namespace lyre::server
