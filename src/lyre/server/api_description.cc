// GET /openapi.json: every endpoint in the words of OpenAPI 3.1, for tools that make clients and
// pages of it.
#include "lyre/base/check.h"
#include "lyre/base/embedded.h"
#include "lyre/server/routes.h"

namespace lyre::server {
namespace {

HttpResponse describe(const HttpRequest&, const ServerState&) {
  const auto files = embedded::api_description();
  LYRE_CHECK(files.size() == 1);
  HttpResponse response;
  response.content_type = "application/json";
  response.body = files.front().contents;
  return response;
}

}  // namespace

void add_api_description(RouteTable& routes) { routes.add("GET", "/openapi.json", describe); }

}  // namespace lyre::server
