#pragma once

#include <string>
#include <utility>

#include "lyre/server/http_message.h"

namespace lyre::server {

inline HttpResponse json_response(int status, std::string json) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = std::move(json);
  response.body += '\n';
  return response;
}

}  // namespace lyre::server
