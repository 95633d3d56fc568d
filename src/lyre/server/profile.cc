// GET /v1/profile: where the time went since the profiling began. GET /v1/profile/trace: the latest
// events as a file for ui.perfetto.dev. Both only while the recorder is on. A snapshot is tens of
// megabytes: the io threads, which have streams to serve, leave it to the background thread.
#include <boost/asio/post.hpp>
#include <exception>
#include <functional>
#include <utility>

#include "lyre/base/trace.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/base/trace_profile.h"
#include "lyre/server/api_error.h"
#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace {

HttpResponse not_profiling() {
  return error_response({404,
                         "Profiling is off; start the server with --profiling or with "
                         "ENABLE_PROFILING=true.",
                         "", "profiling_off"});
}

HttpResponse in_background(const ServerState& state, std::function<HttpResponse()> make) {
  HttpResponse response;
  response.later = [&state, make = std::move(make)](const HttpResponse::Answer& answer) {
    boost::asio::post(state.background(), [make, answer] {
      try {
        answer(make());
      } catch (const std::exception& failure) {  // memory ran out: this request only
        answer(error_response({500, failure.what(), "", "internal"}));
      }
    });
  };
  return response;
}

HttpResponse profile(const HttpRequest&, const ServerState& state) {
  if (!trace::enabled()) return not_profiling();
  return in_background(state,
                       [] { return json_response(200, trace::profile_json(trace::snapshot())); });
}

HttpResponse trace_file(const HttpRequest&, const ServerState& state) {
  if (!trace::enabled()) return not_profiling();
  return in_background(state, [] {
    HttpResponse response = json_response(200, trace::trace_event_json(trace::snapshot()));
    response.headers.push_back({"Content-Disposition", "attachment; filename=\"lyre.trace.json\""});
    return response;
  });
}

}  // namespace

void add_profile(RouteTable& routes) {
  routes.add("GET", "/v1/profile", profile);
  routes.add("GET", "/v1/profile/trace", trace_file);
}

}  // namespace lyre::server
