#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "lyre/base/warmup.h"
#include "lyre/server/server_config.h"

namespace lyre::server {

/// What the last warm-up came to, as the server tells it.
struct WarmupResult {
  WarmupReport report;
  /// report.first_request_ms is of a request through the server's own socket, not of the engine
  /// alone.
  bool first_request_by_server = false;
};

/// loading -> warming -> ready -> stopping, or loading -> ready where nothing is warmed up. A
/// warm-up that is run again leaves the server ready. Any thread.
class Readiness {
 public:
  enum class Phase : uint8_t { kLoading, kWarming, kReady, kStopping };

  /// At most `most_waiting` places are given out at a time.
  Readiness(ReadyWhen when, size_t most_waiting) : when_(when), most_waiting_(most_waiting) {}

  void begin_warmup();  // kLoading becomes kWarming
  void add_step(const WarmupStepReport& step);
  void end_warmup(WarmupResult result);  // kWarming becomes kReady
  void skip_warmup();                    // kLoading becomes kReady
  void begin_stop();

  /// Requests are let through: ready, or loaded if that is enough.
  bool admits() const noexcept { return admits_.load(std::memory_order_acquire); }

  struct Snapshot {
    Phase phase = Phase::kLoading;
    bool admits = false;
    bool warming = false;                 // a warm-up runs, the first or a later one
    std::vector<WarmupStepReport> steps;  // of the one that runs, so far; else of the last
    std::optional<WarmupResult> last;     // nothing before the first has ended
    int warmup_runs = 0;                  // that have ended
    size_t waiting = 0;                   // places that are taken
    std::optional<double> ready_ms;       // from the start of the process to admits(), the first
    /// A whole warm-up has run, and nothing of it failed or was left out.
    bool warm() const noexcept { return last && last->report.warm; }
  };
  Snapshot snapshot() const;

  /// A place among those who wait for admits(); its destructor gives it up.
  class Place {
   public:
    Place(Place&& other) noexcept
        : readiness_(std::exchange(other.readiness_, nullptr)), at_(other.at_) {}
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    friend class Readiness;
    using At = std::list<std::function<void()>>::iterator;
    Place(Readiness& readiness, At at) : readiness_(&readiness), at_(at) {}
    Readiness* readiness_;
    At at_;
  };
  /// `wake` is called under a lock: at once if there is nothing to wait for, else when requests are
  /// admitted or the stop begins. It must be short, must not throw and must not come back here.
  /// Nothing if no place is left.
  std::optional<Place> wait(std::function<void()> wake);

 private:
  void settle();  // after each change, under mutex_

  const ReadyWhen when_;
  const size_t most_waiting_;
  std::atomic<bool> admits_{false};
  mutable std::mutex mutex_;
  Snapshot now_;                              // under mutex_
  std::list<std::function<void()>> waiting_;  // under mutex_
};

/// "loading", "warming", "ready", "stopping".
const char* phase_name(Readiness::Phase phase) noexcept;

}  // namespace lyre::server
