// GET /v1/warmup: what the warm-up did. POST /v1/warmup: runs it again and answers when it has.
#include <boost/json.hpp>

#include "lyre/server/api_error.h"
#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

const char* lane_name(WarmupLane lane) {
  switch (lane) {
    case WarmupLane::kModels:
      return "models";
    case WarmupLane::kBeside:
      return "beside";
    case WarmupLane::kWhole:
      return "whole";
  }
  return "unknown";
}

json::array steps(const std::vector<WarmupStepReport>& reports) {
  json::array array;
  for (const WarmupStepReport& report : reports) {
    json::object step = {{"name", report.name},
                         {"lane", lane_name(report.lane)},
                         {"outcome", warmup_outcome_name(report.outcome)},
                         {"start_ms", report.start_ms},
                         {"duration_ms", report.duration_ms}};
    if (!report.error.empty()) step["error"] = report.error;
    array.push_back(std::move(step));
  }
  return array;
}

template <class T>
json::value value_or_null(const std::optional<T>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

/// The report of `now.last`, with the steps of the one that runs if there is one.
HttpResponse report(const Readiness::Snapshot& now) {
  json::object body = {
      {"status", now.warming ? "warming" : phase_name(now.phase)},
      {"warm", now.warm()},
      {"runs", now.warmup_runs},
      {"total_ms", now.last ? json::value(now.last->report.total_ms) : json::value(nullptr)},
      {"first_request_ms",
       now.last ? value_or_null(now.last->report.first_request_ms) : json::value(nullptr)},
      {"first_request_by", nullptr},
      {"ready_ms", value_or_null(now.ready_ms)},
      {"steps", steps(now.steps)}};
  if (now.last && now.last->report.first_request_ms) {
    body["first_request_by"] = now.last->first_request_by_server ? "server" : "engine";
  }
  return json_response(200, json::serialize(body));
}

HttpResponse show(const HttpRequest&, const ServerState& state) {
  return report(state.readiness().snapshot());
}

HttpResponse run(const HttpRequest&, const ServerState& state) {
  HttpResponse response;
  // The thread of the warm-up, which answers, is joined before the state ends.
  response.later = [&state](const HttpResponse::Answer& answer) {
    const bool started = state.warmup().request([&state, answer](const WarmupResult& result) {
      Readiness::Snapshot then = state.readiness().snapshot();
      then.warming = false;  // a next one may run already
      then.steps = result.report.steps;
      then.last = result;
      answer(report(then));
    });
    if (!started) answer(error_response(not_ready_error()));
  };
  return response;
}

}  // namespace

void add_warmup(RouteTable& routes) {
  routes.add("GET", "/v1/warmup", show);
  routes.add("POST", "/v1/warmup", run);
}

}  // namespace lyre::server
