#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "lyre/base/result.h"
#include "lyre/server/server_config.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// HTTP/1.1 server: a few io threads, one coroutine a connection. All functions: any thread.
class Server {
 public:
  /// Listens at once and answers 503 to requests for speech until serve() is called.
  /// kUnavailable if the address cannot be listened on.
  static Result<std::unique_ptr<Server>> open(ServerConfig config);
  ~Server();  // stops without waiting
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Ready from now on. What the service refers to must outlive the server.
  void serve(SpeechService service);

  uint16_t port() const noexcept;

  /// Stops accepting, closes idle connections and waits until every response in progress is sent
  /// or the time is over; what then still runs is cut off. False if something was cut off. Further
  /// calls return when the first has.
  bool stop(std::chrono::milliseconds patience);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lyre::server
