// GET /v1/models: what the OpenAI SDKs list, and "models", where Open WebUI looks; one server
// serves one model.
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
  const std::string& name = service->info.model;
  const json::object model = {{"id", name},
                              {"object", "model"},
                              {"created", service->info.created_unix_s},
                              {"owned_by", "lyre"}};
  const json::object short_model = {{"id", name}, {"name", name}};
  return json_response(200, json::serialize(json::object{{"object", "list"},
                                                         {"data", json::array{model}},
                                                         {"models", json::array{short_model}}}));
}

}  // namespace

void add_model_list(RouteTable& routes) {
  for (const char* path : {"/v1/models", "/v1/audio/models", "/audio/models"}) {
    routes.add("GET", path, models, Admission::kReady);
  }
}

}  // namespace lyre::server
