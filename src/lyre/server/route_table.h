#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/server/http_message.h"

namespace lyre::server {

class ServerState;

/// Answers at once; speech is answered by a response whose audio follows, and what takes time by
/// one that comes later. Runs on an io thread and must not wait.
using Handler = std::function<HttpResponse(const HttpRequest&, const ServerState&)>;

/// Whether a request may come to its handler before the server is ready.
enum class Admission : uint8_t {
  kAlways,
  kReady,   // it waits, or is refused
  kSpeech,  // the same, and then for its place in the AdmissionQueue
};

/// Which handler answers which method on which path. A segment {} or {name} of a path stands for
/// any one segment that is not empty; a path without is preferred. Filled at start, then read by
/// any thread.
class RouteTable {
 public:
  void add(std::string method, std::string path, Handler handler,
           Admission admission = Admission::kAlways);

  struct Match {
    const Handler* handler = nullptr;  // null: no such path, or not this method
    Admission admission = Admission::kAlways;
    std::string_view path;                // of the route, as it was added; lives with the table
    std::vector<std::string> parameters;  // what stood for the {} of the path
    std::string allow;  // methods of the path, for 405 and OPTIONS; empty: no such path
  };
  /// HEAD is answered by the handler of GET (the connection leaves the body out).
  Match find(std::string_view method, std::string_view path) const;

  /// "GET /healthz", ... in the order in which they were added.
  std::vector<std::string> list() const;

 private:
  struct Route {
    std::string method, path;
    Handler handler;
    Admission admission;
  };
  std::vector<Route> routes_;
};

}  // namespace lyre::server
