#pragma once

#include "lyre/server/http_message.h"
#include "lyre/server/server_config.h"

namespace lyre::server {

/// Adds what lets a page of an origin of ServerConfig::cors_origins read the response, and what a
/// browser asks before (OPTIONS with Access-Control-Request-Method). Nothing for other origins.
void add_cors_headers(const HttpRequest& request, const ServerConfig& config,
                      HttpResponse& response);

}  // namespace lyre::server
