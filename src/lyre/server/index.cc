// GET /: tells a visitor what this is; some clients warm their connection up with it.
#include <boost/json.hpp>

#include "lyre/server/json_response.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

HttpResponse index(const HttpRequest&, const ServerState& state) {
  json::array endpoints;
  for (std::string& line : state.routes().list()) endpoints.emplace_back(std::move(line));
  return json_response(200, json::serialize(json::object{{"name", "lyre"},
                                                         {"version", state.config().version},
                                                         {"endpoints", std::move(endpoints)}}));
}

}  // namespace

void add_index(RouteTable& routes) { routes.add("GET", "/", index); }

}  // namespace lyre::server
