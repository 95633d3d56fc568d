#include "lyre/server/authorization.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "lyre/server/query.h"

namespace lyre::server {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool is_open(const HttpRequest& request, const ServerConfig& config) {
  static constexpr std::array<std::string_view, 4> kOpen = {"/", "/healthz", "/readyz", "/health"};
  // A preflight carries no key; it says nothing but which methods there are.
  if (request.method == "OPTIONS") return true;
  if (request.path == "/metrics") return !config.metrics_need_key;
  return std::find(kOpen.begin(), kOpen.end(), request.path) != kOpen.end();
}

/// The value of api_key. Not query_value(): a key may hold a '+', and who puts it into a URL by
/// hand does not think of that.
std::string key_in_query(std::string_view query) {
  constexpr std::string_view kName = "api_key=";
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view field = query.substr(0, end);
    if (field.starts_with(kName)) return decode_url(field.substr(kName.size()));
    query = end == query.npos ? std::string_view() : query.substr(end + 1);
  }
  return {};
}

std::string key_of(const HttpRequest& request) {
  const std::string_view authorization = request.header("authorization");
  const size_t blank = authorization.find(' ');
  const std::string_view scheme = authorization.substr(0, blank);
  if (blank != authorization.npos &&
      (same_word(scheme, "bearer") || same_word(scheme, "api-key"))) {
    const size_t begin = authorization.find_first_not_of(' ', blank);
    if (begin != authorization.npos) return std::string(authorization.substr(begin));
  }
  if (const std::string_view key = request.header("xi-api-key"); !key.empty()) {
    return std::string(key);
  }
  if (same_word(request.header("upgrade"), "websocket")) return key_in_query(request.query);
  return {};
}

}  // namespace

std::optional<ApiError> authorize(HttpRequest& request, const ServerState& state) {
  const auto keys = state.api_keys();
  if (!keys || request.warm_up) return std::nullopt;
  const std::string key = key_of(request);
  if (const auto name = key.empty() ? std::nullopt : keys->name_of(key)) {
    request.key_name = *name;
    request.client = "key " + *name;  // no address looks like it
    return std::nullopt;
  }
  if (is_open(request, state.config())) return std::nullopt;
  return ApiError{401,
                  key.empty() ? "An API key is needed: send it as 'Authorization: Bearer KEY'."
                              : "The API key is not known.",
                  "", "invalid_api_key"};
}

}  // namespace lyre::server
