#include "lyre/server/api_error.h"

#include <algorithm>

#include <boost/json.hpp>

namespace lyre::server {
namespace json = boost::json;
namespace {

const char* error_type(int status) {
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

/// The field that a message of the engine begins with, "temperature: expected ..."; else nothing.
std::string field_of(std::string_view message) {
  const size_t colon = message.find(": ");
  const std::string_view field = message.substr(0, colon == message.npos ? 0 : colon);
  const bool is_name = std::all_of(field.begin(), field.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  if (!is_name) return "";
  return field == "text" ? "input" : std::string(field);
}

}  // namespace

std::string error_object(const ApiError& error) {
  return json::serialize(json::object{{"message", error.message},
                                      {"type", error_type(error.status)},
                                      {"param", text_or_null(error.param)},
                                      {"code", text_or_null(error.code)}});
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.content_type = "application/json";
  response.body = "{\"error\":" + error_object(error) + "}\n";
  response.error = error.message;
  response.error_code = error.code;
  if (error.status == 429 || error.status == 503) {
    response.headers.push_back({"Retry-After", "1"});
  } else if (error.status == 401) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  } else if (error.status >= 500) {
    response.headers.push_back({"x-should-retry", "false"});
  }
  return response;
}

ApiError api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
      return {400, error.message, field_of(error.message), "invalid_value"};
    case ErrorCode::kResourceExhausted:
      return {429, error.message, "", "rate_limit_exceeded"};
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return {503, error.message, "", "not_ready"};
    case ErrorCode::kDeadlineExceeded:
      return {504, error.message, "", "timeout"};
    case ErrorCode::kDataCorrupt:
    case ErrorCode::kDeviceLost:
    case ErrorCode::kInternal:
      break;
  }
  return {500, error.message, "", error_code_name(error.code)};
}

ApiError not_ready_error() {
  return {503, "The model is not ready: it is still loading, or the server is stopping.", "",
          "not_ready"};
}

}  // namespace lyre::server
