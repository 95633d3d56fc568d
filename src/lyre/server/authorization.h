#pragma once

#include <optional>

#include "lyre/server/api_error.h"
#include "lyre/server/http_message.h"
#include "lyre/server/server_state.h"

namespace lyre::server {

/// Nothing if the request may come in: no keys are asked for, it carries one (its name is then the
/// request's key_name, and its client), it is the server's own, or its path is open to all: what
/// probes ask for, and what a browser asks before it sends a key. Else 401.
///
/// A key is taken from "Authorization: Bearer KEY" or "Api-Key KEY", from "xi-api-key: KEY", and
/// of a WebSocket also from "?api_key=KEY", for a browser can give it no headers.
std::optional<ApiError> authorize(HttpRequest& request, const ServerState& state);

}  // namespace lyre::server
