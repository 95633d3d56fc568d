#include "lyre/server/cors.h"

#include <algorithm>
#include <string>

namespace lyre::server {

void add_cors_headers(const HttpRequest& request, const ServerConfig& config,
                      HttpResponse& response) {
  if (config.cors_origins.empty()) return;
  const auto allowed = [&](std::string_view origin) {
    return std::find(config.cors_origins.begin(), config.cors_origins.end(), origin) !=
           config.cors_origins.end();
  };
  const bool any = allowed("*");
  // A cache must not give the answer to one origin to another.
  if (!any) response.headers.push_back({"Vary", "Origin"});
  const std::string_view origin = request.header("origin");
  if (origin.empty() || (!any && !allowed(origin))) return;
  response.headers.push_back({"Access-Control-Allow-Origin", any ? "*" : std::string(origin)});
  if (request.method == "OPTIONS" && !request.header("access-control-request-method").empty()) {
    response.headers.push_back({"Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"});
    response.headers.push_back(
        {"Access-Control-Allow-Headers",
         "Authorization, Content-Type, X-Request-Id, xi-api-key, traceparent"});
    response.headers.push_back({"Access-Control-Max-Age", "600"});
  } else {
    response.headers.push_back(
        {"Access-Control-Expose-Headers", "x-request-id, x-lyre-voice, x-lyre-seed, Retry-After"});
  }
}

}  // namespace lyre::server
