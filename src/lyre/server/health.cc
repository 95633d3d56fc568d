// GET /healthz: the process answers. GET /readyz: the model answers, whether it is warm, and how
// busy it is.
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

enum class Which : uint8_t { kAll, kNotOk };

json::array steps(const std::vector<WarmupStepReport>& reports, Which which) {
  json::array array;
  for (const WarmupStepReport& report : reports) {
    if (which == Which::kNotOk && report.outcome == WarmupStepReport::Outcome::kOk) continue;
    json::object step = {{"name", report.name},
                         {"outcome", warmup_outcome_name(report.outcome)},
                         {"ms", report.duration_ms}};
    if (!report.error.empty()) step["error"] = report.error;
    array.push_back(std::move(step));
  }
  return array;
}

HttpResponse readyz(const HttpRequest&, const ServerState& state) {
  const Readiness::Snapshot now = state.readiness().snapshot();
  const auto service = state.service();
  if (service) {
    if (const Status health = service->health(); !health) {
      return not_ready({{"status", "failed"}, {"error", health.error().message}});
    }
  }
  if (!service || !now.admits) {
    // Between the two looks at the state the stop may have begun.
    json::object why = {{"status", state.stopping() ? "stopping" : phase_name(now.phase)}};
    if (!state.stopping()) {
      why["waiting"] = now.waiting;
      why["steps"] = steps(now.steps, Which::kAll);
    }
    return not_ready(why);
  }
  const ServiceLoad load = service->load();
  const json::object requests = {{"submitted", load.requests_submitted},
                                 {"finished", load.requests_finished},
                                 {"failed", load.requests_failed},
                                 {"cancelled", load.requests_cancelled},
                                 {"cut", load.requests_cut}};
  json::object ready = {{"status", "ready"},
                        {"warm", now.warm()},
                        {"warming", now.warming},
                        {"model", service->info.model},
                        {"running", load.running},
                        {"queued", load.queued + state.admission().load().waiting},
                        {"requests", requests},
                        {"free_sequences", load.free_sequences},
                        {"free_kv_tokens", load.free_kv_tokens},
                        {"total_kv_tokens", load.total_kv_tokens}};
  if (now.last && !now.warm()) {
    ready["failed_steps"] = steps(now.last->report.steps, Which::kNotOk);
  }
  return json_response(200, json::serialize(ready));
}

}  // namespace

void add_health(RouteTable& routes) {
  routes.add("GET", "/healthz", healthz);
  routes.add("GET", "/readyz", readyz);
}

}  // namespace lyre::server
