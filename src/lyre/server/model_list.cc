// GET /v1/models: what the OpenAI SDKs list; one server serves one model.
#include <boost/json.hpp>

#include "lyre/server/api_error.h"
#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

HttpResponse models(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return error_response(not_ready_error());
  const json::object model = {{"id", service->info.model},
                              {"object", "model"},
                              {"created", service->info.created_unix_s},
                              {"owned_by", "lyre"}};
  return json_response(
      200, json::serialize(json::object{{"object", "list"}, {"data", json::array{model}}}));
}

}  // namespace

void add_model_list(RouteTable& routes) {
  routes.add("GET", "/v1/models", models, Admission::kReady);
}

}  // namespace lyre::server
