#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "lyre/base/result.h"
#include "lyre/server/api_keys.h"
#include "lyre/server/server_config.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// HTTP/1.1 server: a few io threads, one coroutine a connection. It loads, warms up, is ready and
/// stops, see Readiness. All functions: any thread.
class Server {
 public:
  /// Listens at once, on the port and on the Unix socket if there is one; what requests for speech
  /// get until the server is ready is said by the configuration. kUnavailable if an address cannot
  /// be listened on, kInvalidArgument if it, a certificate or a key is wrong.
  static Result<std::unique_ptr<Server>> open(ServerConfig config);
  ~Server();  // stops without waiting
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Ready from now on, without a warm-up. What the service refers to must outlive the server.
  void serve(SpeechService service);

  struct StartWarmup {
    /// With the codec's steps and whole requests through the server's own socket; without them the
    /// server does not count as warm.
    bool whole = true;
    /// Called when the warm-up has begun; ReadyWhen::kLoaded lets requests through by then.
    std::function<void()> begun;
  };
  /// The other way to be ready: warms the service up, waits for the end of it, and is ready then,
  /// whatever failed. The requests to itself are made over the socket that it listens on. Returns
  /// early when the stop begins.
  WarmupReport warm_up_and_serve(SpeechService service, const StartWarmup& options);
  /// Milliseconds from the start of the process until requests were let through first.
  std::optional<double> ready_ms() const;

  uint16_t port() const noexcept;  // of TCP

  /// From now on requests need one of these keys, see authorize.
  void set_api_keys(ApiKeys keys);
  /// Reads certificate and key again, for the connections that come from now on. An error names the
  /// file, and what was there before stays.
  Status reload_certificate();
  /// See ServerState.
  Status set_voice_aliases(VoiceAliases aliases);

  /// The first half of stop(), without waiting: requests that wait for the server to be ready get
  /// 503, and so do new ones; what a warm-up has not begun it skips.
  void begin_stop();
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
