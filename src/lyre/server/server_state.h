#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "lyre/server/admission_queue.h"
#include "lyre/server/api_keys.h"
#include "lyre/server/readiness.h"
#include "lyre/server/request_counts.h"
#include "lyre/server/request_times.h"
#include "lyre/server/route_table.h"
#include "lyre/server/server_config.h"
#include "lyre/server/service_warmup.h"
#include "lyre/server/speech_service.h"
#include "lyre/server/voice_aliases.h"

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
  std::shared_ptr<const SpeechService> set_service(SpeechService service) {
    auto shared = std::make_shared<const SpeechService>(std::move(service));
    const std::lock_guard lock(mutex_);
    service_ = shared;
    return shared;
  }

  /// Null: no request needs a key. Whoever holds the pointer may use it on.
  std::shared_ptr<const ApiKeys> api_keys() const {
    const std::lock_guard lock(mutex_);
    return api_keys_;
  }
  /// For the requests that come from now on.
  void set_api_keys(ApiKeys keys) {
    auto shared = std::make_shared<const ApiKeys>(std::move(keys));
    const std::lock_guard lock(mutex_);
    api_keys_ = std::move(shared);
  }

  /// What an operator set; for resolve_voice.
  std::shared_ptr<const VoiceAliases> voice_aliases() const {
    const std::lock_guard lock(mutex_);
    return voice_aliases_;
  }
  /// For the requests that come from now on. kInvalidArgument: they do not fit the voices of the
  /// service, if it is there yet; the old ones stay.
  Status set_voice_aliases(VoiceAliases aliases);

  // These change under the eyes of all that hold the state, each with locks of its own.
  Readiness& readiness() const noexcept { return readiness_; }
  ServiceWarmup& warmup() const noexcept { return warmup_; }
  RequestTimes& request_times() const noexcept { return request_times_; }
  RequestCounts& request_counts() const noexcept { return request_counts_; }
  AdmissionQueue& admission() const noexcept { return admission_; }
  /// One thread for answers that take long (HttpResponse::later); joined when the server stops.
  boost::asio::thread_pool& background() const noexcept { return background_; }

  /// By which the server knows its own requests.
  const std::string& warmup_key() const noexcept { return warmup_key_; }

  bool stopping() const noexcept { return stopping_.load(std::memory_order_acquire); }
  void begin_stop() noexcept {
    stopping_.store(true, std::memory_order_release);
    warmup_.request_stop();
    readiness_.begin_stop();
  }

 private:
  const ServerConfig config_;
  RouteTable routes_;
  const std::string warmup_key_;
  std::atomic<bool> stopping_{false};
  mutable Readiness readiness_;
  mutable RequestTimes request_times_;
  mutable RequestCounts request_counts_;
  mutable AdmissionQueue admission_;
  mutable std::mutex mutex_;
  std::shared_ptr<const SpeechService> service_;
  std::shared_ptr<const ApiKeys> api_keys_;
  std::shared_ptr<const VoiceAliases> voice_aliases_;
  mutable ServiceWarmup warmup_;  // its thread uses what is above
  mutable boost::asio::thread_pool background_{1};
};

}  // namespace lyre::server
