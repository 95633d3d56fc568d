#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "lyre/server/route_table.h"
#include "lyre/server/server_config.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// What all connections share. Any thread.
class ServerState {
 public:
  explicit ServerState(ServerConfig config);

  const ServerConfig& config() const noexcept { return config_; }
  const RouteTable& routes() const noexcept { return routes_; }

  /// Null while the model loads and from the begin of the stop: answer 503. Whoever holds the
  /// pointer may use it to the end of the response.
  std::shared_ptr<const SpeechService> service() const {
    if (stopping()) return nullptr;
    const std::lock_guard lock(mutex_);
    return service_;
  }
  void set_service(SpeechService service) {
    auto shared = std::make_shared<const SpeechService>(std::move(service));
    const std::lock_guard lock(mutex_);
    service_ = std::move(shared);
  }

  bool stopping() const noexcept { return stopping_.load(std::memory_order_acquire); }
  void begin_stop() noexcept { stopping_.store(true, std::memory_order_release); }

 private:
  const ServerConfig config_;
  RouteTable routes_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<const SpeechService> service_;
};

}  // namespace lyre::server
