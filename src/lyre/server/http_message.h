#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/audio/pcm_channel.h"
#include "lyre/server/speech_body.h"

namespace lyre::server {

struct TextProtocol;

struct ApiError;
struct HttpResponse;

struct HttpHeader {
  std::string name;
  std::string value;
};

/// What a handler sees of a request: values only, nothing of the HTTP library.
struct HttpRequest {
  std::string method;  // as sent, "POST"
  std::string path;    // without query
  std::string query;   // after '?', undecoded
  std::string body;
  std::vector<HttpHeader> headers;           // names in lower case, as sent
  std::vector<std::string> path_parameters;  // what stood for the {} of the route's path
  std::string key_name;  // whose API key it carried; empty: nobody's, or none is asked for
  std::string client;    // for whom it counts in the AdmissionQueue: the key's name or the address
  bool warm_up = false;  // the server's own: carries the key of warmup_key.h

  /// Of the first header of this lower-case name; empty: there is none.
  std::string_view header(std::string_view name) const {
    for (const HttpHeader& header : headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }
};

/// A body that is spoken while it is sent. The status goes out with the first samples, so that an
/// error before them still becomes an error response.
struct AudioStream {
  PcmSource pcm;
  SpeechBody body;
  int sample_rate_hz = 0;
  uint64_t seed = 0;
  std::string voice;
  /// How the protocol words an error before the first sample; null: error_response.
  HttpResponse (*error)(const ApiError& error) = nullptr;
};

struct HttpResponse {
  int status = 200;
  std::string content_type;
  std::vector<HttpHeader> headers;
  std::string body;                  // unused if there is audio
  std::optional<AudioStream> audio;  // status 200
  std::string error;                 // for the access log
  std::string error_code;            // the same
  /// A response that comes later replaces this one: called once, on the io thread, it starts the
  /// work and returns. The work calls `answer` once, from any thread. A client that leaves is not
  /// waited for, and the work goes on.
  using Answer = std::function<void(HttpResponse&&)>;
  std::function<void(const Answer& answer)> later;
  /// The connection becomes a WebSocket that speaks this; status 101. See web_socket_response.
  std::shared_ptr<TextProtocol> web_socket;
};

}  // namespace lyre::server
