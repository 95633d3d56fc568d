#pragma once

#include <cstdint>
#include <string>

namespace lyre::server {

/// One answered request, for the access log.
struct AccessRecord {
  std::string request_id;
  std::string client;  // address:port
  std::string method;
  std::string path;
  int status = 0;             // 499: the client left before there was one
  int64_t request_bytes = 0;  // of the body
  int64_t body_bytes = 0;     // sent, without the framing of chunks
  double duration_ms = 0;     // from the request read to its last byte handed to the kernel
  bool early = false;         // it came before the server was ready and waited for that
  double queue_ms = 0;        // it waited for its place
  bool warm_up = false;       // the server's own
  std::string error;          // message of an error response, or why the audio broke off

  // Speech only.
  bool speech = false;
  std::string voice;
  uint64_t seed = 0;
  double first_audio_ms = 0;  // from the request read to the first samples; 0: none came
  double audio_s = 0;         // seconds of audio sent
  std::string finish;         // stop, length, failed, disconnected
};

}  // namespace lyre::server
