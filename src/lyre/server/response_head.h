#pragma once

#include <ctime>
#include <string>

#include "lyre/server/http_message.h"

namespace lyre::server {

/// How the length of the body is told.
enum class BodyFraming : uint8_t {
  kLength,   // Content-Length: the size of response.body
  kChunked,  // HTTP/1.1 audio; trailers follow it
  kClose,    // HTTP/1.0 audio: ends with the connection
};

struct HeadOptions {
  BodyFraming framing = BodyFraming::kLength;
  bool keep_alive = true;
  bool http_1_0 = false;  // of the client: keep-alive must be said
  std::string request_id;
};

/// Status line and headers up to and with the empty line. No byte of a header value can end the
/// line: control bytes are sent as '?'.
std::string response_head(const HttpResponse& response, const HeadOptions& options,
                          std::time_t now);

/// "Tue, 24 Nov 2026 23:13:00 GMT"
std::string http_date(std::time_t time);

/// Name of the trailer that tells whether speech was cut.
inline constexpr const char* kFinishTrailer = "x-lyre-finish-reason";

}  // namespace lyre::server
