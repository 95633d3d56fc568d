// GET /healthz: the process answers. GET /readyz: the model answers, and how busy it is.
#include <boost/json.hpp>

#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

HttpResponse healthz(const HttpRequest&, const ServerState&) {
  return json_response(200, R"({"status":"ok"})");
}

HttpResponse not_ready(const json::object& why) {
  HttpResponse response = json_response(503, json::serialize(why));
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

HttpResponse readyz(const HttpRequest&, const ServerState& state) {
  const auto service = state.service();
  if (!service) return not_ready({{"status", state.stopping() ? "stopping" : "loading"}});
  if (const Status health = service->health(); !health) {
    return not_ready({{"status", "failed"}, {"error", health.error().message}});
  }
  const ServiceLoad load = service->load();
  const json::object requests = {{"submitted", load.requests_submitted},
                                 {"finished", load.requests_finished},
                                 {"failed", load.requests_failed},
                                 {"cancelled", load.requests_cancelled},
                                 {"cut", load.requests_cut}};
  return json_response(200,
                       json::serialize(json::object{{"status", "ready"},
                                                    {"model", service->info.model},
                                                    {"running", load.running},
                                                    {"queued", load.queued},
                                                    {"requests", requests},
                                                    {"free_sequences", load.free_sequences},
                                                    {"free_kv_tokens", load.free_kv_tokens},
                                                    {"total_kv_tokens", load.total_kv_tokens}}));
}

}  // namespace

void add_health(RouteTable& routes) {
  routes.add("GET", "/healthz", healthz);
  routes.add("GET", "/readyz", readyz);
}

}  // namespace lyre::server
