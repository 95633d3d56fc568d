#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "lyre/server/readiness.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// What the server adds to a warm-up.
struct ServerSteps {
  std::vector<WarmupStep> steps;
  /// First audio of the last request that the steps made; nothing if there was none.
  std::function<std::optional<double>()> first_request_ms;
};

/// Runs the warm-ups of the service, one at a time, and tells `readiness` of them. Any thread.
class ServiceWarmup {
 public:
  explicit ServiceWarmup(Readiness& readiness) : readiness_(readiness) {}
  ~ServiceWarmup();  // stops and joins
  ServiceWarmup(const ServiceWarmup&) = delete;
  ServiceWarmup& operator=(const ServiceWarmup&) = delete;

  using MakeSteps = std::function<ServerSteps(std::stop_token)>;
  /// From now on request() can run one.
  void prepare(std::shared_ptr<const SpeechService> service, MakeSteps make_steps);
  /// The same with a first run on this thread, which request() joins. Without the codec's steps and
  /// the server's if not `whole`, which leaves the server not warm. `begun` is called when
  /// `readiness` knows of it.
  WarmupResult prepare_and_run(std::shared_ptr<const SpeechService> service, MakeSteps make_steps,
                               bool whole, const std::function<void()>& begun = {});

  using Done = std::function<void(const WarmupResult&)>;
  /// Starts a whole run on a thread of its own, or joins the one that runs. `done` is called on the
  /// thread of the run, unless this returns false: then nothing can be run (any more).
  bool request(Done done);

  void request_stop();  // what has not begun is skipped
  void join();          // after request_stop(): waits for the run of request()

 private:
  WarmupResult warm_up(bool whole);
  void finish(const WarmupResult& result);

  Readiness& readiness_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::shared_ptr<const SpeechService> service_;  // under mutex_, as all below
  MakeSteps make_steps_;
  bool running_ = false;
  std::vector<Done> waiting_;
  std::thread thread_;
};

}  // namespace lyre::server
