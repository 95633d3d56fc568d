#pragma once

#include <cstdint>
#include <string>

namespace lyre::server {

/// One answered request, for the access log.
struct AccessRecord {
  std::string request_id;
  std::string client;      // address:port; behind a trusted proxy the client's address alone
  std::string key_name;    // of the API key; empty: none
  std::string trace_id;    // of a well-formed traceparent header
  std::string user_agent;  // its beginning
  std::string method;
  std::string path;
  std::string route;          // the path of the route, "/v1/voices/{}"; empty: there is none
  int status = 0;             // 499: the client left before there was one
  int64_t request_bytes = 0;  // of the body
  int64_t body_bytes = 0;     // sent, without the framing of chunks
  double duration_ms = 0;     // from the request read to its last byte handed to the kernel
  bool early = false;         // it came before the server was ready and waited for that
  bool placed = false;        // it got a place of the AdmissionQueue
  double queue_ms = 0;        // it waited for that
  bool warm_up = false;       // the server's own
  std::string error_code;     // of an error response
  std::string error;          // message of an error response, or why the audio broke off

  // Speech only.
  bool speech = false;
  std::string voice;
  uint64_t seed = 0;
  double first_audio_ms = 0;  // from the request read to the first samples; 0: none came
  double audio_s = 0;         // seconds of audio sent
  // Sent later than it is heard: less was sent than time had passed since the first samples.
  bool behind = false;
  int64_t prompt_tokens = 0, generated_tokens = 0, frames = 0;  // of speech that came to its end
  std::string finish;  // stop, length, failed, disconnected
};

}  // namespace lyre::server
