#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lyre/server/speech_service.h"
#include "server/fake_speech.h"

namespace lyre::server::test {

/// The warm-up of a fake service: steps named by the test, then those of the caller. It can be
/// held up before its first step.
class FakeWarmup {
 public:
  using Outcome = WarmupStepReport::Outcome;

  std::vector<std::string> steps = {"codec.frame", "lm.step"};
  std::string failing;  // this one of them fails, with the error "broken"
  bool run_further = true;

  /// In place of `service.warm_up`.
  void join(SpeechService& service) {
    service.warm_up = [this](const WarmupOptions& options) { return run(options); };
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  /// Waits until a run is held up after its first step.
  bool is_held() {
    return eventually([&] { return holding_.load(); });
  }
  int runs() const { return runs_; }

 private:
  WarmupReport run(const WarmupOptions& options) {
    ++runs_;
    WarmupReport report;
    report.warm = true;
    const auto ended = [&](WarmupStepReport step) {
      if (step.outcome != Outcome::kOk) report.warm = false;
      if (options.on_step) options.on_step(step);
      report.steps.push_back(std::move(step));
    };
    for (const std::string& name : steps) {
      if (!options.codec && name.starts_with("codec.")) continue;
      const bool fails = name == failing;
      WarmupStepReport step;
      step.name = name;
      step.outcome = fails ? Outcome::kFailed : Outcome::kOk;
      step.duration_ms = 1.5;
      if (fails) step.error = "broken";
      ended(std::move(step));
      if (&name == &steps.front()) wait_while_held(options);
    }
    for (const WarmupStep& further : options.further_steps) {
      if (!run_further) break;
      WarmupStepReport step;
      step.name = further.name;
      step.lane = further.lane;
      if (options.stop.stop_requested()) {
        step.outcome = Outcome::kSkipped;
      } else if (const auto done = further.run(); !done) {
        step.outcome = Outcome::kFailed;
        step.error = done.error().message;
      }
      step.duration_ms = 2.5;
      ended(std::move(step));
    }
    report.total_ms = 12.5;
    report.first_request_ms = 3.25;
    return report;
  }

  void wait_while_held(const WarmupOptions& options) {
    std::unique_lock lock(mutex_);
    const std::stop_callback wake(options.stop, [this] { changed_.notify_all(); });
    holding_ = held_;
    while (held_ && !options.stop.stop_requested()) {
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    holding_ = false;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  std::atomic<bool> holding_{false};
  std::atomic<int> runs_{0};
};

}  // namespace lyre::server::test
