// GET /v1/profile: where the time went since the profiling began. GET /v1/profile/trace: the latest
// events as a file for ui.perfetto.dev. Both only while the recorder is on.
#include "lyre/base/trace.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/base/trace_profile.h"
#include "lyre/server/api_error.h"
#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"

namespace lyre::server {
namespace {

HttpResponse not_profiling() {
  return error_response({404,
                         "Profiling is off; start the server with --profiling or with "
                         "ENABLE_PROFILING=true.",
                         "", "profiling_off"});
}

HttpResponse profile(const HttpRequest&, const ServerState&) {
  if (!trace::enabled()) return not_profiling();
  return json_response(200, trace::profile_json(trace::snapshot()));
}

HttpResponse trace_file(const HttpRequest&, const ServerState&) {
  if (!trace::enabled()) return not_profiling();
  HttpResponse response = json_response(200, trace::trace_event_json(trace::snapshot()));
  response.headers.push_back({"Content-Disposition", "attachment; filename=\"lyre.trace.json\""});
  return response;
}

}  // namespace

void add_profile(RouteTable& routes) {
  routes.add("GET", "/v1/profile", profile);
  routes.add("GET", "/v1/profile/trace", trace_file);
}

}  // namespace lyre::server
