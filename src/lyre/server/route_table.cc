#include "lyre/server/route_table.h"

#include <optional>
#include <utility>

namespace lyre::server {
namespace {

/// The parameters, if the path has the form of the route's.
std::optional<std::vector<std::string>> match_path(std::string_view form, std::string_view path) {
  std::vector<std::string> parameters;
  for (;;) {
    const size_t form_end = form.find('/'), path_end = path.find('/');
    const std::string_view wanted = form.substr(0, form_end), found = path.substr(0, path_end);
    if (wanted.starts_with('{') && wanted.ends_with('}')) {
      if (found.empty()) return std::nullopt;
      parameters.emplace_back(found);
    } else if (wanted != found) {
      return std::nullopt;
    }
    if (form_end == form.npos || path_end == path.npos) {
      if (form_end != form.npos || path_end != path.npos) return std::nullopt;
      return parameters;
    }
    form.remove_prefix(form_end + 1);
    path.remove_prefix(path_end + 1);
  }
}

}  // namespace

void RouteTable::add(std::string method, std::string path, Handler handler, Admission admission) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler), admission});
}

RouteTable::Match RouteTable::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
  Match match;
  for (const Route& route : routes_) {
    std::optional<std::vector<std::string>> parameters = match_path(route.path, path);
    if (!parameters) continue;
    const bool better = match.handler == nullptr || parameters->size() < match.parameters.size();
    if (route.method == wanted && better) {
      match.handler = &route.handler;
      match.admission = route.admission;
      match.path = route.path;
      match.parameters = *std::move(parameters);
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
