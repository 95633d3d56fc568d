#pragma once

#include <string>

#include "lyre/base/result.h"
#include "lyre/server/http_message.h"

namespace lyre::server {

/// An error as the OpenAI API words it: {"error": {message, type, param, code}}.
struct ApiError {
  int status = 400;
  std::string message;
  std::string param;  // field of the request; empty: null
  std::string code;   // stable word for programs; empty: null
};

/// {"message", "type", "param", "code"} as JSON; all four keys are always there.
std::string error_object(const ApiError& error);

/// {"error": error_object()}. Adds Retry-After to what may be tried again (429, 503) and
/// x-should-retry: false to the other 5xx, which the SDKs would else repeat.
HttpResponse error_response(const ApiError& error);

/// The status that an error of the speech service deserves.
ApiError api_error(const Error& error);

/// 503: the model is still loading, or the server is stopping.
ApiError not_ready_error();

}  // namespace lyre::server
