#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/server/audio_body.h"

namespace lyre::server {

/// What a handler sees of a request: values only, nothing of the HTTP library.
struct HttpRequest {
  std::string method;  // as sent, "POST"
  std::string path;    // without query
  std::string query;   // after '?', undecoded
  std::string body;
  bool warm_up = false;  // the server's own: carries the key of warmup_key.h
};

struct HttpHeader {
  std::string name;
  std::string value;
};

/// A body that is spoken while it is sent. The status goes out with the first samples, so that an
/// error before them still becomes an error response.
struct AudioStream {
  PcmSource pcm;
  AudioFormat format = AudioFormat::kWav;
  int sample_rate_hz = 0;
  uint64_t seed = 0;
  std::string voice;
};

struct HttpResponse {
  int status = 200;
  std::string content_type;
  std::vector<HttpHeader> headers;
  std::string body;                  // unused if there is audio
  std::optional<AudioStream> audio;  // status 200
  std::string error;                 // for the access log
  /// A response that comes later replaces this one: called once, on the io thread, it starts the
  /// work and returns. The work calls `answer` once, from any thread. A client that leaves is not
  /// waited for, and the work goes on.
  using Answer = std::function<void(HttpResponse&&)>;
  std::function<void(const Answer& answer)> later;
};

}  // namespace lyre::server
