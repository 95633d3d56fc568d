#include "lyre/server/route_table.h"

#include <utility>

namespace lyre::server {

void RouteTable::add(std::string method, std::string path, Handler handler, Admission admission) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler), admission});
}

RouteTable::Match RouteTable::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
  Match match;
  for (const Route& route : routes_) {
    if (route.path != path) continue;
    if (route.method == wanted) {
      match.handler = &route.handler;
      match.admission = route.admission;
    }
    match.allow += route.method == "GET" ? "GET, HEAD, " : route.method + ", ";
  }
  if (!match.allow.empty()) match.allow += "OPTIONS";
  return match;
}

std::vector<std::string> RouteTable::list() const {
  std::vector<std::string> lines;
  for (const Route& route : routes_) lines.push_back(route.method + " " + route.path);
  return lines;
}

}  // namespace lyre::server
